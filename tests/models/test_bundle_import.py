"""`vidplan bundle import ctrl-world` and `inspect`, on files with true names at reduced width."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

pytest.importorskip("diffusers", reason="the extra `full` is not installed")

from ctrl_world_files import published_weights, reduced_config, write_published
from safetensors.torch import load_file

from models import bundle_cli
from models.bundle import family_of, load_bundle, read_config
from models.config_io import from_plain
from models.ctrl_world import importer
from models.ctrl_world.bundle import load_world_model
from models.ctrl_world.bundle_config import CtrlWorldBundleConfig
from models.ctrl_world.checkpoint import expected_shapes
from models.ctrl_world.config import CtrlWorldConfig
from models.errors import BundleError

CONFIG = reduced_config()
KEYS = Path(__file__).parent / "ctrl_world_keys.txt"
CLIP_TEXT = {"vocab_size": 49408, "hidden_size": 512, "intermediate_size": 2048, "projection_dim": 512}
CLIP_IMAGE = {
    "hidden_size": 1280,
    "intermediate_size": 5120,
    "num_hidden_layers": 32,
    "num_attention_heads": 16,
    "patch_size": 14,
    "projection_dim": 1024,
}


@pytest.fixture(scope="module")
def published(tmp_path_factory) -> dict[str, Path]:
    return write_published(tmp_path_factory.mktemp("published"), CONFIG)


@pytest.fixture(scope="module")
def imported(published, tmp_path_factory) -> Path:
    """A bundle whose pictures are small, too."""
    out = tmp_path_factory.mktemp("imported") / "bundle"
    assert run(published, out) == 0
    values = json.loads((out / "bundle.json").read_text())
    assert values["world_model"]["image_size"] == [192, 320]
    values["world_model"]["image_size"] = CONFIG.image_size
    (out / "bundle.json").write_text(json.dumps(values))
    return out


def run(published: dict[str, Path], out: Path, *more: str) -> int:
    sources = [word for name, path in published.items() for word in (f"--{name}", str(path))]
    return bundle_cli.main(["import", "ctrl-world", *sources, "--out", str(out), *more])


def test_full_size_names_and_shapes_are_the_published_ones():
    shapes = expected_shapes(CtrlWorldConfig(), CLIP_TEXT, CLIP_IMAGE)
    for line in KEYS.read_text().splitlines()[1:]:
        name, *sides = line.split()
        assert shapes[name] == tuple(map(int, sides)), name
    parts = {part: [name for name in shapes if name.startswith(f"{part}.")] for part in ("unet", "vae")}
    assert {part: len(names) for part, names in parts.items()} == {"unet": 1428, "vae": 374}
    count = sum(torch.Size(shapes[name]).numel() for name in parts["unet"])
    assert count == 1_524_623_082  # Stable Video Diffusion's U-Net, as its authors count it: 1.52 billion


def test_every_weight_arrives(imported: Path):
    weights = published_weights(CONFIG)
    stored = load_file(imported / "denoiser.safetensors") | load_file(imported / "autoencoder.safetensors")
    for name, value in weights.items():
        if name.startswith(("unet.", "vae.", "action_encoder.")):
            assert torch.equal(stored.pop(name), value), name
    assert set(stored) == {"second_time.first.weight", "second_time.last.weight"}
    assert not stored["second_time.last.weight"].any()
    model = load_world_model(imported)
    assert model.config == CONFIG
    for name, value in model.text.encoder.state_dict().items():
        assert torch.equal(value, weights[f"text_encoder.{name}"]), name


@torch.no_grad()
def test_an_imported_model_imagines_and_hears_the_instruction(imported: Path):
    model = load_world_model(imported)
    history, poses = torch.randn(1, 5, 4, 24, 8), torch.rand(1, 9, 7)
    scene, noise = (history, poses[:, :5], poses[:, 5:]), torch.randn(1, 5, 4, 24, 8)
    words = ("put the carrot in the bowl", "put the pea in the bowl", "")
    one, other, silent = (model.condition(*scene, instruction=text).text for text in words)
    assert one.shape == (1, 16)
    assert len({tuple(text[0].tolist()) for text in (one, other, silent)}) == 3
    assert torch.equal(model.text(words[0]), model.text(words[0]))
    c_noise = torch.zeros(1)
    conditions = [model.condition(*scene, instruction=text) for text in words[:2]]
    heard, unheard = (model.denoiser(noise, c_noise, condition) for condition in conditions)
    assert (heard - unheard).abs().max() > 0
    images = torch.randint(0, 256, (1, 2, 3, 64, 64, 3), dtype=torch.uint8)
    latents = model.encode(images)
    assert latents.shape == (1, 2, 4, 24, 8)
    assert model.decode(latents).shape == images.shape
    swapped = model.encode(images[:, :, [1, 0, 2]])  # the views are stacked on the rows in their order
    assert torch.allclose(swapped[..., :8, :], latents[..., 8:16, :], atol=1e-5)
    alone = model.decode(torch.cat([latents[..., 8:16, :]] * 3, dim=3))  # and decoded each on its own
    assert (alone[:, :, 0].int() - model.decode(latents)[:, :, 1].int()).abs().max() <= 1


def test_inspect_explains_it(imported: Path, capsys):
    assert family_of(imported) == "CtrlWorldModel"
    assert bundle_cli.main(["inspect", str(imported), "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["changed_files"] == []
    assert from_plain(CtrlWorldBundleConfig, report["config"]).world_model == CONFIG
    assert report["parameters"]["denoiser.safetensors"] > report["parameters"]["text/model.safetensors"] > 0
    assert bundle_cli.main(["inspect", str(imported)]) == 0
    text = capsys.readouterr().out
    for words in (report["hash"], "left, right, wrist", "slots [-12, -12, -12, -9, -6, -3]", "not yet", "not trained"):
        assert words in text


def test_a_world_model_alone_is_no_planner(imported: Path):
    with pytest.raises(BundleError, match="lacks: uncertainty, value, relevance"):
        load_bundle(imported)
    with pytest.raises(BundleError, match="family CtrlWorldModel, need VideoModel"):
        read_config(imported)


def test_a_changed_file_is_named(imported: Path, tmp_path: Path, capsys):
    copy = Path(shutil.copytree(imported, tmp_path / "bundle"))
    with open(copy / "autoencoder.safetensors", "r+b") as stream:
        stream.seek(-1, 2)
        stream.write(b"\x55")
    (copy / "extra.bin").write_bytes(b"")
    assert bundle_cli.main(["inspect", str(copy)]) == 1
    assert "NOT as they were written: autoencoder.safetensors, extra.bin" in capsys.readouterr().out


def of_another_width(values: dict) -> None:
    values["world_model"]["unet"]["widths"] = [33, 64, 64, 64]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda values: values.update(family="Other"), "of the family Other, need CtrlWorldModel"),
        (lambda values: values.update(format=9), "has format 9"),
        (lambda values: values["world_model"].pop("views"), "views is missing"),
        (lambda values: values["world_model"].update(more=1), r"unknown field\(s\) more"),
        (of_another_width, "no network can be built as .*bundle.json describes it"),
    ],
)
def test_a_bundle_that_says_something_else_is_refused(imported: Path, tmp_path: Path, change, message: str):
    values = json.loads((imported / "bundle.json").read_text())
    change(values)
    (tmp_path / "bundle.json").write_text(json.dumps(values))
    shutil.copytree(imported / "text", tmp_path / "text")
    with pytest.raises(BundleError, match=message):
        load_world_model(tmp_path)


def test_a_file_is_no_bundle(published, tmp_path: Path, capsys):
    assert bundle_cli.main(["inspect", str(published["checkpoint"])]) == 1
    assert "is not a bundle" in capsys.readouterr().err
    (tmp_path / "bundle.json").write_text((bundle_cli.DEFAULT_BUNDLE / "bundle.json").read_text())
    with pytest.raises(BundleError, match="family VideoModel, need CtrlWorldModel: make one with `vidplan bundle imp"):
        load_world_model(tmp_path)


def test_statistics_and_view_order_are_stored(published, tmp_path: Path, capsys):
    values = {"state_01": [0.0] * 7, "state_99": [1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0]}
    (tmp_path / "stat.json").write_text(json.dumps(values))
    more = ("--statistics", str(tmp_path / "stat.json"), "--views", "right", "left", "wrist", "--json")
    assert run(published, tmp_path / "out", *more) == 0
    world = json.loads(capsys.readouterr().out)["config"]["world_model"]
    assert world["views"] == ["right", "left", "wrist"]
    assert world["pose_upper"] == values["state_99"]


def edit_json(file: Path, **changes) -> None:
    file.write_text(json.dumps({**json.loads(file.read_text()), **changes}))


def edit_weights(file: Path, change: Callable[[dict], object]) -> None:
    weights = torch.load(file, weights_only=True)
    change(weights)
    torch.save(weights, file)


DAMAGE = {
    "no svd": (lambda p: shutil.rmtree(p["svd"]), "unet/config.json is missing: --svd is stabilityai"),
    "no clip": (lambda p: (p["clip"] / "config.json").unlink(), "--clip is openai"),
    "no tokenizer": (lambda p: (p["clip"] / "tokenizer.json").unlink(), "no tokenizer"),
    "no checkpoint": (lambda p: p["checkpoint"].unlink(), "--checkpoint is Ctrl-World's"),
    "not json": (lambda p: (p["svd"] / "vae/config.json").write_text("{"), "not JSON"),
    "another sampler": (
        lambda p: edit_json(p["svd"] / "scheduler/scheduler_config.json", prediction_type="epsilon"),
        "prediction_type is 'epsilon', need 'v_prediction'",
    ),
    "another width": (
        lambda p: edit_json(p["svd"] / "unet/config.json", block_out_channels=[64, 64, 64, 64]),
        "unet.conv_in.weight is .32, 8, 3, 3., need .64, 8, 3, 3.",
    ),
    "no text tower": (
        lambda p: edit_weights(p["checkpoint"], lambda w: [w.pop(n) for n in list(w) if n.startswith("text_")]),
        r"37 missing:\n    text_encoder.text_model.embeddings.position_embedding.weight",
    ),
    "part of the image encoder": (
        lambda p: edit_weights(p["checkpoint"], lambda w: w.pop("image_encoder.visual_projection.weight")),
        r"1 missing:\n    image_encoder.visual_projection.weight",
    ),
    "a stranger": (
        lambda p: edit_weights(p["checkpoint"], lambda w: w.update({"module.unet.x": torch.ones(1)})),
        r"1 unexpected:\n    module.unet.x",
    ),
    "not finite": (
        lambda p: edit_weights(p["checkpoint"], lambda w: w["unet.conv_in.bias"].fill_(float("nan"))),
        r"1 not finite:\n    unet.conv_in.bias",
    ),
    "nested": (
        lambda p: torch.save({"state_dict": torch.load(p["checkpoint"], weights_only=True)}, p["checkpoint"]),
        "not one flat dictionary",
    ),
    "names that are numbers": (lambda p: torch.save({1: torch.ones(1)}, p["checkpoint"]), "not one flat dictionary"),
    "whole numbers": (
        lambda p: edit_weights(p["checkpoint"], lambda w: w.update({"vae.quant_conv.bias": torch.ones(8).int()})),
        r"1 not floating point:\n    vae.quant_conv.bias is torch.int32",
    ),
    "no archive": (lambda p: p["checkpoint"].write_bytes(b"nonsense"), "not a checkpoint of tensors"),
    "code": (lambda p: torch.save({"unet.x": print}, p["checkpoint"]), "than tensors; nothing in it was run$"),
    "empty": (lambda p: p["checkpoint"].write_bytes(b""), "it is empty"),
    "half": (lambda p: p["checkpoint"].write_bytes(p["checkpoint"].read_bytes()[:9999]), "cut short or damaged"),
    "a pointer": (lambda p: p["checkpoint"].write_text("version https://git-lfs.github.com/spec/v1"), "of Git LFS"),
    "a file as folder": (
        lambda p: (shutil.rmtree(p["svd"]), p["svd"].write_text("")),
        "unet/config.json is missing: --svd is stabilityai",
    ),
    "three levels": (
        lambda p: edit_json(p["svd"] / "unet/config.json", block_out_channels=[32, 32, 64]),
        "no network can be built as",
    ),
    "one number of heads": (lambda p: edit_json(p["svd"] / "unet/config.json", num_attention_heads=5), "a value in"),
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_what_is_wrong_is_said_and_nothing_is_written(published, tmp_path: Path, capsys, damage):
    change, message = DAMAGE[damage]
    copies = {name: tmp_path / path.name for name, path in published.items()}
    for name, path in published.items():
        (shutil.copytree if path.is_dir() else shutil.copy)(path, copies[name])
    change(copies)
    assert run(copies, tmp_path / "out") == 1
    said = capsys.readouterr().err
    assert re.search(message, said), said
    assert not (tmp_path / "out").exists()


def test_views_of_one_name_and_a_place_that_cannot_be_written_are_refused(published, tmp_path: Path, capsys):
    assert run(published, tmp_path / "out", "--views", "left", "left", "wrist") == 1
    assert "every view has a name of its own" in capsys.readouterr().err
    (tmp_path / "file").write_text("")
    assert run(published, tmp_path / "file" / "out") == 1
    assert "out cannot be written" in capsys.readouterr().err


def test_what_breaks_off_leaves_nothing_behind(published, tmp_path: Path, capsys, monkeypatch):
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(importer, "write_config", full)
    assert run(published, tmp_path / "out") == 1
    assert "No space left on device" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_a_checkpoint_may_lack_the_unused_image_encoder_and_bring_old_constants(published, tmp_path: Path):
    weights = {n: v for n, v in published_weights(CONFIG).items() if not n.startswith("image_encoder.")}
    weights["text_encoder.text_model.embeddings.position_ids"] = torch.arange(12)[None]
    torch.save(weights, tmp_path / "checkpoint.pt", _use_new_zipfile_serialization=False)
    assert run({**published, "checkpoint": tmp_path / "checkpoint.pt"}, tmp_path / "out") == 0


def test_a_folder_with_something_in_it_is_left_alone(published, tmp_path: Path, capsys):
    (tmp_path / "mine.txt").write_text("mine")
    assert run(published, tmp_path) == 1
    assert "not an empty folder" in capsys.readouterr().err
