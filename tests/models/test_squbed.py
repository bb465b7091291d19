from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from scipy.stats import vonmises_fisher

from models.errors import ModelsError
from models.uncertainty import uq_cli
from models.uncertainty.squbed import vmf_entropy
from models.uncertainty.squbed.accuracy import Accuracies, correlations, rank_correlation
from models.uncertainty.squbed.bundle_parts import BundleTexts, LatentVideos, SceneVideos, phrase_of
from models.uncertainty.squbed.decomposition import Projection, decompose
from models.uncertainty.squbed.estimate import Dimensions, estimate
from models.uncertainty.squbed.interfaces import Parts, Task
from models.uncertainty.squbed.offline import HashedTexts, TemplateRefiner
from models.uncertainty.squbed.prompts import read_prompts
from models.uncertainty.squbed.samples import Amounts, SampleStore
from models.uncertainty.squbed.scenes import RecordedScenes

AMBIGUOUS, CLEAR = Task("put the object in the bowl"), Task("put the carrot in the bowl")


class NoisyVideos:
    """Flat pictures whose colours vary the more the word "unknown" is in the task's prompt."""

    name = "noisy"

    def __init__(self) -> None:
        self.made = 0
        self.fail_at: int | None = None

    def generate(self, task: Task, prompt: str, count: int, seed: int) -> np.ndarray:
        if self.made == self.fail_at:
            raise KeyboardInterrupt
        self.made += 1
        rng = np.random.default_rng(seed)
        spread = 60 if "unknown" in task.prompt else 4
        colours = 120 + rng.normal(0, spread, (count, 1, 1, 1, 3))
        return np.broadcast_to(colours, (count, 4, 16, 16, 3)).clip(0, 255).astype(np.uint8)


class Colours:
    name = "colours"

    def embed(self, videos: np.ndarray) -> np.ndarray:
        return videos.mean((1, 2, 3)) + 1.0


def parts() -> Parts:
    return Parts(TemplateRefiner(), HashedTexts(), NoisyVideos(), Colours())


def test_known_samples_get_their_known_entropies():
    rng = np.random.default_rng(0)
    texts = vonmises_fisher(np.eye(6)[0], 20.0, seed=rng).rvs(3)
    kappas = (5.0, 50.0, 500.0)
    videos = [vonmises_fisher(np.eye(4)[1], kappa, seed=rng).rvs(4000) for kappa in kappas]
    found = decompose(texts, videos)
    assert found.epistemic == pytest.approx(np.mean([vmf_entropy(4, kappa) for kappa in kappas]), abs=0.05)
    assert found.aleatoric == pytest.approx(vmf_entropy(6, found.text_concentration))
    assert found.total == found.aleatoric + found.epistemic
    with pytest.raises(ModelsError, match="3 refined prompts but videos of 2"):
        decompose(texts, videos[:2])
    by_region = decompose(texts, [np.stack(videos, axis=1)] * 3)
    assert by_region.epistemic == pytest.approx(found.epistemic)
    assert by_region.video_concentrations == pytest.approx([np.mean(found.video_concentrations)] * 3)


def test_projection_keeps_the_directions_that_matter():
    rng = np.random.default_rng(0)
    plane = np.linalg.qr(rng.normal(size=(40, 40)))[0][:, :3]
    inside = rng.normal(size=(200, 3))
    pool = 5 * inside @ plane.T
    projected = Projection.fit(pool, 8)(pool)
    assert projected.shape == (200, 3)  # there are no more directions
    cosines = inside @ inside.T / np.outer(*[np.linalg.norm(inside, axis=1)] * 2)
    assert projected @ projected.T == pytest.approx(cosines, abs=1e-9)
    assert Projection.fit(np.ones((5, 3)), 8)(np.ones((5, 3))).shape == (5, 2)
    for wrong in (np.zeros((3, 4)), np.full((3, 4), np.nan), np.ones((3, 1))):
        with pytest.raises(ModelsError, match="direction"):
            Projection.fit(wrong, 2)


def test_open_prompts_are_aleatoric_and_unknown_things_epistemic(tmp_path: Path):
    unknown = Task("put the unknown carrot in the bowl")
    store = SampleStore(tmp_path, parts(), Amounts())
    vague, clear, strange = estimate([AMBIGUOUS, CLEAR, unknown], store, Dimensions(8, 3))
    assert vague.uncertainty.aleatoric > clear.uncertainty.aleatoric + 1
    assert vague.uncertainty.epistemic == pytest.approx(clear.uncertainty.epistemic, abs=1.0)
    assert strange.uncertainty.epistemic > clear.uncertainty.epistemic + 4
    assert all("bowl" in prompt for prompt in vague.refined)


def test_refined_prompts_entail_what_was_asked():
    refiner = TemplateRefiner()
    clear, vague = (refiner.refine(task, 40, 0) for task in (CLEAR, AMBIGUOUS))
    assert all("carrot" in prompt or "vegetable" in prompt for prompt in clear)
    assert not any("object" in prompt for prompt in vague)
    assert len(set(vague)) > len(set(clear)) / 2 > 5
    here = refiner.refine(Task(AMBIGUOUS.prompt, objects=("pea", "fish", "bowl")), 40, 0)
    assert all(("pea" in prompt) or ("fish" in prompt) or ("ball" in prompt) for prompt in here)
    assert refiner.refine(CLEAR, 5, 1) == refiner.refine(CLEAR, 5, 1) != refiner.refine(CLEAR, 5, 2)


def test_a_stopped_run_goes_on_and_ends_with_the_same(tmp_path: Path):
    whole = estimate([AMBIGUOUS, CLEAR], SampleStore(tmp_path / "whole", parts(), Amounts(4, 3)), Dimensions(4, 3))
    stopped = parts()
    stopped.model.fail_at = 6
    with pytest.raises(KeyboardInterrupt):
        estimate([AMBIGUOUS, CLEAR], SampleStore(tmp_path / "kept", stopped, Amounts(4, 3)), Dimensions(4, 3))
    again = parts()
    resumed = estimate([AMBIGUOUS, CLEAR], SampleStore(tmp_path / "kept", again, Amounts(4, 3)), Dimensions(4, 3))
    assert again.model.made == 2  # eight in all
    assert [entry.uncertainty for entry in resumed] == [entry.uncertainty for entry in whole]
    fresh = parts()
    estimate([AMBIGUOUS, CLEAR], SampleStore(tmp_path / "kept", fresh, Amounts(4, 3)), Dimensions(3, 3))
    assert fresh.model.made == 0
    estimate([CLEAR], SampleStore(tmp_path / "kept", fresh, Amounts(4, 3, seed=1)), Dimensions(3, 3))
    assert fresh.model.made == 4


def test_parts_that_break_their_promise_are_named(tmp_path: Path):
    class Short(TemplateRefiner):
        def refine(self, task, count, seed):
            return super().refine(task, count - 1, seed)

    class Floats(NoisyVideos):
        def generate(self, task, prompt, count, seed):
            return super().generate(task, prompt, count, seed) / 255

    good = parts()
    for wrong, message in (
        (Parts(Short(), good.texts, good.model, good.videos), "gave 9 prompts"),
        (Parts(good.refiner, good.texts, Floats(), good.videos), "noisy gave float64"),
    ):
        with pytest.raises(ModelsError, match=message):
            SampleStore(tmp_path, wrong, Amounts()).samples(CLEAR)
        shutil.rmtree(tmp_path)
        tmp_path.mkdir()
    with pytest.raises(ModelsError, match="2 samples or more"):
        Amounts(1, 10)


def test_accuracy_falls_with_distance_from_the_reference(tmp_path: Path):
    rng = np.random.default_rng(0)
    real = rng.integers(0, 255, (6, 32, 40, 3), dtype=np.uint8)
    np.save(tmp_path / "real.npy", real)
    measure = Accuracies(Colours()).of(Task("x", reference=tmp_path / "real.npy"))
    assert measure is not None
    same, near, far = (
        measure(
            (real[None].astype(int) + rng.integers(-size, size + 1, (2, *real.shape))).clip(0, 255).astype(np.uint8)
        )
        for size in (0, 10, 100)
    )
    assert same["ssim"] == pytest.approx(1.0, abs=1e-5)
    assert same["psnr"] > 80
    assert same["embedding"] == pytest.approx(1.0)
    assert same["ssim"] > near["ssim"] > far["ssim"]
    assert same["psnr"] > near["psnr"] > far["psnr"]
    other_size = measure(np.repeat(real[None, ::2], 2, axis=3))
    assert other_size.keys() == same.keys() == {"ssim", "psnr", "embedding"}
    assert Accuracies(Colours()).of(CLEAR) is None
    np.save(tmp_path / "wrong.npy", real[0])
    with pytest.raises(ModelsError, match="need uint8"):
        Accuracies(Colours()).of(Task("x", reference=tmp_path / "wrong.npy"))


def test_rank_correlation_is_kendalls():
    assert rank_correlation([1, 2, 3, 4, 5], [5, 4, 3, 2, 1]) == {
        "tau": -1.0,
        "p": 0.0167,
        "n": 5,
        "significant": False,
    }
    found = rank_correlation(list(range(30)), [-x + (x % 3) for x in range(30)])
    assert found["significant"]
    assert not rank_correlation(list(range(30)), list(range(30)))["significant"]
    assert rank_correlation([1.0, 1.0, 1.0], [1, 2, 3])["tau"] is None
    assert correlations([]) == {}


def test_prompt_files(tmp_path: Path):
    file = tmp_path / "prompts.txt"
    (tmp_path / "a.npy").write_bytes(b"x")
    row = {"prompt": "grasp it", "objects": ["pea", "fish"], "episode": "3", "frame": 4, "reference": "a.npy"}
    file.write_text(f"# two\nput the carrot in the bowl\n\n{json.dumps(row)}\n")
    assert read_prompts(file) == [CLEAR, Task("grasp it", ("pea", "fish"), "3", 4, tmp_path / "a.npy")]
    for text, message in (
        ("", "no prompt"),
        ('{"prompt": 3}', "line 1.*prompt"),
        ('{"prompt": "x", "colour": 1}', "unknown field.*objects"),
        ('{"prompt": " "}', "empty"),
        ("{", "not JSON"),
        ('{"prompt": "x", "reference": "b.npy"}', "no reference video 'b.npy'"),
    ):
        file.write_text(text)
        with pytest.raises(ModelsError, match=message):
            read_prompts(file)
    with pytest.raises(ModelsError, match="cannot be read"):
        read_prompts(tmp_path / "none")


def test_the_object_of_a_prompt():
    phrases = ("carrot", "pea", "bowl")
    assert phrase_of("Put the orange vegetable in the dish", phrases) == "carrot"
    assert phrase_of("put the green ball in the bowl slowly", phrases) == "pea"
    assert phrase_of("put the zorb in the bowl gently", phrases) == "the zorb"
    assert phrase_of("please pick up the pea without touching anything else", phrases) == "pea"
    assert phrase_of("wave", phrases) == "wave"


def test_a_bundle_makes_and_embeds_videos_of_a_scene(bundle, dataset: Path):
    model, embedder = SceneVideos(bundle, RecordedScenes(bundle, dataset)), LatentVideos(bundle)
    videos = model.generate(CLEAR, "put the carrot in the bowl", 3, 0)
    assert videos.shape == (3, 6, 48, 240, 3)
    assert videos.dtype == np.uint8
    assert (videos[0, 0] == videos[1, 0]).all()  # the newest real frame
    assert (videos[0, 1:] != videos[1, 1:]).any()
    assert (model.generate(CLEAR, "put the carrot in the bowl", 3, 0) == videos).all()
    vectors = embedder.embed(videos)
    assert vectors.shape == (3, 512)
    assert np.linalg.norm(vectors[0] - vectors[1]) > 0
    assert embedder.embed(videos[:, :, :32, :50]).shape == (3, 512)  # any single picture will do
    words = BundleTexts(bundle).embed(["the carrot", "carrot", "pea"])
    assert np.allclose(words[0], words[1], atol=1e-6)
    assert not np.allclose(words[1], words[2], atol=1e-3)
    with pytest.raises(ModelsError, match="no episode 'nowhere'"):
        model.generate(Task("x", episode="nowhere"), "x", 2, 0)


def test_the_command_answers_and_resumes(bundle_path: Path, dataset: Path, tmp_path: Path, capsys):
    file, out = tmp_path / "prompts.txt", tmp_path / "out"
    file.write_text(f"{AMBIGUOUS.prompt}\n{CLEAR.prompt}\n")
    arguments = ["squbed", "--prompts", str(file), "--out", str(out), "--bundle", str(bundle_path)]
    arguments += ["--data", str(dataset), "--refinements", "4", "--videos", "3", "--threads", "1"]
    assert uq_cli.main(arguments) == 0
    first = json.loads((out / "squbed.json").read_text())
    said = capsys.readouterr().out
    assert said.splitlines()[1].endswith(AMBIGUOUS.prompt)
    assert [row["prompt"] for row in first["prompts"]] == [AMBIGUOUS.prompt, CLEAR.prompt]
    assert all(row["total"] == pytest.approx(row["aleatoric"] + row["epistemic"], abs=1e-5) for row in first["prompts"])
    assert first["kendall"] == {}
    times = {path: path.stat().st_mtime_ns for path in (out / "samples").rglob("*.npz")}
    assert len(times) == 2 * (1 + 4)
    assert uq_cli.main(arguments) == 0
    assert json.loads((out / "squbed.json").read_text()) == first
    assert times == {path: path.stat().st_mtime_ns for path in (out / "samples").rglob("*.npz")}


def test_the_command_says_what_is_wrong(tmp_path: Path, bundle_path: Path, dataset: Path, capsys):
    file = tmp_path / "prompts.txt"
    arguments = ["squbed", "--prompts", str(file), "--out", str(tmp_path), "--bundle", str(bundle_path)]
    arguments += ["--data", str(dataset), "--threads", "1"]
    assert uq_cli.main(arguments) == 1
    assert "prompts.txt cannot be read" in capsys.readouterr().err
    file.write_text("wave")
    assert uq_cli.main([*arguments, "--chat-url", "http://127.0.0.1:9"]) == 1
    assert "--chat-url needs --chat-model" in capsys.readouterr().err
    assert uq_cli.main([*arguments, "--texts", "sentence"]) == 1
    assert "say which model: --texts sentence:MODEL" in capsys.readouterr().err
    assert uq_cli.main([*arguments, "--out", str(file)]) == 1
    assert "prompts.txt cannot be a folder" in capsys.readouterr().err
    for wrong, message in (
        (["--video-embedder", "eyes"], "'eyes' is none of latents, clip, s3d"),
        (["--videos", "many"], "'many' is not a whole number from 1 on"),
        (["--text-dimensions", "1"], "'1' is not a whole number in 2..1024"),
    ):
        with pytest.raises(SystemExit):
            uq_cli.main([*arguments, *wrong])
        assert message in capsys.readouterr().err
