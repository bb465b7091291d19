"""`vidplan uq squbed`: put the parts together, sample, answer."""

from __future__ import annotations

import argparse
import subprocess
import sys
from pathlib import Path

import torch

from models.bundle import Bundle, load_bundle
from models.errors import ModelsError
from models.uncertainty.squbed.accuracy import Accuracies
from models.uncertainty.squbed.bundle_parts import BundleTexts, LatentVideos, SceneVideos
from models.uncertainty.squbed.chat import ChatRefiner
from models.uncertainty.squbed.encoders import ClipVideos, S3dVideos, SentenceTexts
from models.uncertainty.squbed.estimate import Dimensions, estimate
from models.uncertainty.squbed.interfaces import Parts, PromptRefiner, TextEmbedder, VideoEmbedder
from models.uncertainty.squbed.offline import NEVER_MEANT, HashedTexts, TemplateRefiner
from models.uncertainty.squbed.planner_reading import read
from models.uncertainty.squbed.prompts import read_prompts
from models.uncertainty.squbed.report import as_text, report, write
from models.uncertainty.squbed.samples import Amounts, SampleStore
from models.uncertainty.squbed.scenes import RecordedScenes

SCENES, SCENE_SEED, SCENE_FRAMES = 2, 2_000_000, 20
"""Episodes recorded where no dataset was given, with seeds far from those of training and evaluation."""


def run(options: argparse.Namespace) -> int:
    """Answer every prompt of a file; returns the exit code.

    Raises:
        ModelsError: A part cannot be had, or the prompts cannot be read.
    """
    tasks = read_prompts(options.prompts)
    torch.set_num_threads(options.threads)
    amounts = Amounts(options.refinements, options.videos, options.seed)
    dimensions = Dimensions(options.text_dimensions, options.video_dimensions)
    bundle = load_bundle(options.bundle)
    _folder(options.out)
    refiner = choose_refiner(options, bundle)  # what cannot be had is said before scenes are recorded
    if options.reading == "planner":
        scenes = _scenes(options, bundle)
        found = read(tasks, bundle, scenes, refiner, amounts, _say)
        names = (refiner.name, "chunk of motion", scenes.name, "semantic features by region")
        results = report(found, names, amounts, None)
    else:
        texts, videos = choose_embedders(options, bundle)
        accuracies = Accuracies(videos, options.lpips)
        parts = Parts(refiner, texts, _scenes(options, bundle), videos)
        store = SampleStore(options.out / "samples", parts, amounts, accuracies.metrics)
        found = estimate(tasks, store, dimensions, accuracies.of, _say)
        results = report(found, parts.names, amounts, dimensions)
    file = write(results, options.out)
    print(f"{as_text(results)}\n{file}")
    return 0


def choose_refiner(options: argparse.Namespace, bundle: Bundle) -> PromptRefiner:
    """The refiner that the command line names.

    Raises:
        ModelsError: It is not fully named.
    """
    if not options.chat_url:
        return TemplateRefiner([name for name in bundle.config.phrases if name not in NEVER_MEANT])
    if not options.chat_model:
        raise ModelsError("--chat-url needs --chat-model, the name of the model there")
    return ChatRefiner(options.chat_url, options.chat_model, options.chat_key_variable)


def choose_embedders(options: argparse.Namespace, bundle: Bundle) -> tuple[TextEmbedder, VideoEmbedder]:
    """The embedders that the command line names.

    Raises:
        ModelsError: One is not there.
    """
    kind, _, name = options.texts.partition(":")
    texts: TextEmbedder
    if kind == "sentence":
        texts = SentenceTexts(_named(name, "--texts sentence:MODEL"))
    else:
        texts = BundleTexts(bundle) if kind == "bundle" else HashedTexts()
    kind, _, name = options.video_embedder.partition(":")
    videos: VideoEmbedder
    if kind == "clip":
        videos = ClipVideos(_named(name, "--video-embedder clip:MODEL"))
    else:
        videos = S3dVideos() if kind == "s3d" else LatentVideos(bundle)
    return texts, videos


def _scenes(options: argparse.Namespace, bundle: Bundle) -> SceneVideos:
    data = options.data or _recorded(options.out / "scenes")
    return SceneVideos(bundle, RecordedScenes(bundle, data, options.split), options.steps)


def _folder(out: Path) -> None:
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ModelsError(f"--out {out} cannot be a folder: {error}") from error


def _named(name: str, usage: str) -> str:
    if not name:
        raise ModelsError(f"say which model: {usage}")
    return name


def _recorded(folder: Path) -> Path:
    """A recording of a few simulated scenes, made by `vidplan sim record` where it is not there yet."""
    if len(list((folder / "annotation" / "val").glob("*.json"))) < SCENES:
        print(f"no --data: recording {SCENES} simulated scenes to {folder}", file=sys.stderr, flush=True)
        words = f"--held-out --look varied --workers 1 --episodes {SCENES} --frames {SCENE_FRAMES} --seed {SCENE_SEED}"
        command = [sys.executable, "-m", "vidplan", "sim", "record", "--out", str(folder), *words.split()]
        if code := subprocess.run(command, stdout=subprocess.DEVNULL).returncode:
            raise ModelsError(f"recording scenes failed with exit code {code}; give a recording with --data instead")
    return folder


def _say(what: str, share: float) -> None:
    if sys.stderr.isatty():
        print(f"{what[:90]:<92}{share:4.0%}", file=sys.stderr, end="\n" if share == 1 else "\r", flush=True)
    elif share == 0:
        print(what, file=sys.stderr, flush=True)
