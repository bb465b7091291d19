from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from models import bundle_cli
from models.bundle import load_bundle, save_bundle
from models.errors import BundleError
from models.text import TextEncoder, word_buckets
from models.uncertainty.c3.files import install_probe
from models.uncertainty.c3.probe import ProbeConfig
from models.uncertainty.c3.variants import make_probe


def test_round_trip_keeps_every_answer_and_the_hash(bundle, bundle_path: Path, tmp_path: Path, scene):
    again = load_bundle(save_bundle(bundle, tmp_path / "copy"))
    assert again.config == bundle.config
    assert again.hash == load_bundle(bundle_path).hash == bundle.hash
    noise = torch.randn(2, 5, 48, 18, 10, generator=torch.Generator().manual_seed(0))
    first, second = (b.world_model.imagine(*scene, noise=noise) for b in (bundle, again))
    assert torch.equal(first.latents, second.latents)
    assert torch.equal(bundle.uncertainty(first).h, again.uncertainty(second).h)


def test_weights_are_frozen_and_in_evaluation_mode(bundle):
    for module in bundle.parts().values():
        assert not module.training
        assert not any(parameter.requires_grad for parameter in module.parameters())


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda p: (p / "bundle.json").unlink(), "not a bundle"),
        (lambda p: (p / "bundle.json").write_text("{"), "not JSON"),
        (lambda p: edit(p, format=99), "format 99"),
        (lambda p: edit(p, colour="red"), "unknown field"),
        (lambda p: edit(p, horizon="five"), "horizon"),
        (lambda p: edit(p, views=["left", "right"]), "built for"),
        (lambda p: edit(p, change_scale=[1.0, 1.0]), "change_scale"),
        (lambda p: (p / "value.safetensors").unlink(), r"value.safetensors is missing"),
        (lambda p: (p / "value.safetensors").write_bytes(b"nonsense"), "not a safetensors file"),
        (lambda p: shutil.copy(p / "semantic.safetensors", p / "value.safetensors"), "does not fit"),
    ],
)
def test_damaged_bundles_are_refused_with_the_reason(bundle_path: Path, tmp_path: Path, damage, message):
    copy = Path(shutil.copytree(bundle_path, tmp_path / "bundle"))
    damage(copy)
    with pytest.raises(BundleError, match=message):
        load_bundle(copy)


def edit(path: Path, **changes) -> None:
    values = json.loads((path / "bundle.json").read_text())
    (path / "bundle.json").write_text(json.dumps({**values, **changes}))


def test_inspect_prints_what_is_in_it(bundle_path: Path, capsys):
    assert bundle_cli.main(["inspect", str(bundle_path), "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["config"]["views"] == ["left", "right", "wrist"]
    assert bundle_cli.main(["inspect", str(bundle_path)]) == 0
    said = capsys.readouterr().out
    assert report["hash"] in said
    assert "familiarity none" in said
    assert "probe" not in said
    assert bundle_cli.main(["inspect", str(bundle_path / "nothing")]) == 1
    assert "not a bundle" in capsys.readouterr().err


def test_inspect_names_the_probe_that_is_trusted_instead_of_the_head(bundle_path: Path, tmp_path: Path, capsys):
    shutil.copytree(bundle_path, tmp_path / "bundle")
    install_probe(
        make_probe(ProbeConfig("continuous", features=16, width=16, embedding=16, eps=0.2)), tmp_path / "bundle"
    )
    assert bundle_cli.main(["inspect", str(tmp_path / "bundle")]) == 0
    assert "probe       continuous, eps 0.2" in capsys.readouterr().out


@given(st.text())
def test_any_text_is_a_phrase(phrase: str):
    assert all(1 <= bucket < 4096 for bucket in word_buckets(phrase))


def test_phrases_are_encoded_the_same_alone_and_together():
    encoder = TextEncoder(8)
    together = encoder(["carrot", "the red cube", ""])
    assert torch.allclose(together[1], encoder(["red cube"])[0], atol=1e-6)
    assert together.isfinite().all()
