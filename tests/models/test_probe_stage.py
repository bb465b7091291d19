from __future__ import annotations

import dataclasses
import json

import pytest
import torch
from safetensors.torch import load_file

from models.training.config import PRESETS, TINY, with_probes
from models.training.loop import train
from models.training.names import FOUNDATIONS, PROBES, STAGES, foundations
from models.training.probes_together import train_together
from models.training.stages import make_stage
from models.training.workshop import Workshop
from models.uncertainty.c3.files import trained_probes


def probing(workshop: Workshop) -> Workshop:
    """The same run with settings for probes."""
    preset = with_probes(TINY)
    loops = {
        name: dataclasses.replace(loop, steps=2, threads=1, half=False, device="cpu")
        for name, loop in preset.loops.items()
    }
    return dataclasses.replace(workshop, preset=dataclasses.replace(preset, loops=loops))


def test_kinds_have_names_of_their_own_and_stay_out_of_all():
    assert {"probe-fixed-0.5-brier", "probe-multi-bce", "probe-continuous-bce-end-to-end"} <= set(PROBES)
    assert not set(PROBES) & set(STAGES)
    assert all(kind.stage == name for name, kind in PROBES.items())
    assert foundations("flow-map") == FOUNDATIONS["flow-map"]
    assert foundations("probe-multi-bce") == ("autoencoder", "flow-map", "heads")
    for preset in PRESETS.values():
        assert with_probes(preset).loops["probe-multi-bce"] == preset.loops["heads"]


@pytest.mark.parametrize("name", ["probe-fixed-0.5-bce", "probe-multi-brier", "probe-continuous-bce"])
def test_a_probe_trains_on_a_finished_flow_map(workshop: Workshop, tmp_path, name: str):
    run = probing(workshop)
    stage = make_stage(name, run)
    before = {key: value.clone() for key, value in stage.model.denoiser.state_dict().items()}
    report = train(stage, run.preset.loops[name], tmp_path)
    assert all(torch.equal(value, before[key]) for key, value in stage.model.denoiser.state_dict().items())
    assert report["steps"] == 2
    scales = ["eps 0.5"] if "fixed" in name else [f"eps {eps:g}" for eps in (0.1, 0.3, 0.5, 0.7, 0.9)]
    assert list(report["held_out"]) == scales
    assert all(0 <= figures["ece"] <= figures["mce"] <= 1 for figures in report["held_out"].values())
    assert report["notes"]["probe"]["scale"] == workshop.report("heads")["notes"]["error_range"]
    assert all(key.startswith("probe.") for key in load_file(tmp_path / f"{name}.safetensors"))


def test_end_to_end_trains_the_flow_map_too(workshop: Workshop, tmp_path):
    run, name = probing(workshop), "probe-continuous-bce-end-to-end"
    stage = make_stage(name, run)
    before = stage.model.denoiser.input.weight.clone()
    report = train(stage, run.preset.loops[name], tmp_path)
    assert not torch.equal(stage.model.denoiser.input.weight, before)
    assert report["held_out"]["video"]["relative error"] > 0
    weights = load_file(tmp_path / f"{name}.safetensors")
    assert torch.equal(weights["denoiser.input.weight"], stage.model.denoiser.input.weight)


def test_probes_trained_together_leave_what_each_would(workshop: Workshop, tmp_path):
    for file in workshop.folder.iterdir():
        (tmp_path / file.name).symlink_to(file)
    run = dataclasses.replace(probing(workshop), folder=tmp_path)
    stages = ["probe-fixed-0.1-bce", "probe-continuous-brier"]
    train_together(run, stages, run.preset.loops[stages[0]])
    found = trained_probes(tmp_path)
    assert list(found) == sorted(stages)
    assert found["probe-continuous-brier"].probe.config.score == "brier"
    assert found["probe-fixed-0.1-bce"].denoiser is None
    report = json.loads((tmp_path / "probe-fixed-0.1-bce.json").read_text())
    assert report["notes"]["together"] == stages
    assert list(report["held_out"]) == ["eps 0.1"]
    together = load_file(tmp_path / "probes.safetensors")
    assert torch.equal(found["probe-continuous-brier"].probe.position, together["probes.1.position"])
    written = (tmp_path / "probes.json").stat().st_mtime_ns
    train_together(run, stages, run.preset.loops[stages[0]])
    assert (tmp_path / "probes.json").stat().st_mtime_ns == written
