from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest

from models.errors import TrainingError
from models.training import cli
from models.training.config import PRESETS, TABLETOP, TINY, LoopConfig
from models.training.engine_folder import Standing, WorkFolder
from models.training.engine_settings import apply_settings
from models.training.names import FOUNDATIONS, PRESET_NAMES, STAGES

TRAINED = tuple(FOUNDATIONS)


def test_any_field_can_be_set_and_has_its_type():
    settings = ["batch=8", "loops.heads.rate=5e-4", "half=false", "widths=64,128", "edm.sigma_max=80", "hold=0"]
    preset = apply_settings(TINY, [*settings, "robots=panda,fr3", "autoencoder.widths=[8, 32]", "name=mine"], TRAINED)
    assert {loop.batch for loop in preset.loops.values()} == {8}
    assert (preset.loops["heads"].rate, preset.loops["flow-map"].rate) == (5e-4, 1e-3)
    assert preset.loops["heads"].half is False
    assert (preset.widths, preset.edm.sigma_max, preset.autoencoder.widths) == ((64, 128), 80.0, (8, 32))
    assert (preset.robots, preset.name) == (("panda", "fr3"), "mine")
    assert isinstance(preset.loops["heads"].hold, float)
    assert apply_settings(TABLETOP, ["steps=none", "minutes=5"], ["heads"]).loops["heads"].minutes == 5.0


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("batch", "need NAME=VALUE"),
        ("batch=many", "need int, got 'many'"),
        ("batch=1.5", "need int, got 1.5"),
        ("batch=0", "batch must be at least 1, got 0"),
        ("hold=1", r"hold must be in \[0, 1\)"),
        ("half=2", "need bool, got 2"),
        ("widths=64", "need a list"),
        ("widths=1,2,3", "need 2 values, got 3"),
        ("bacth=3", "no setting 'bacth'; there are batch, rate"),
        ("loops.dreamer.batch=3", "no setting 'dreamer'; there are autoencoder"),
        ("loops.heads.bacth=3", "no setting 'bacth'; there are batch"),
        ("edm=3", "name one of its fields"),
        ("gamma.x=3", "no field 'x'"),
    ],
)
def test_a_setting_that_does_not_fit_is_refused_and_named(setting: str, message: str):
    with pytest.raises(TrainingError, match=message) as error:
        apply_settings(TINY, [setting], ["heads"])
    assert f"--set {setting}" in str(error.value)


def test_the_command_line_changes_the_chosen_stages_only():
    def resolved(*arguments: str):
        options = cli._parser().parse_args([*arguments, "--data", "d", "--out", "o", "--preset", "tiny"])
        return cli.resolve(options, STAGES if options.stage == "all" else (options.stage,)).loops

    loops = resolved("world-model", "--minutes", "2", "--device", "cpu", "--set", "batch=7")
    assert (loops["world-model"].batch, loops["heads"].batch) == (7, TINY.loops["heads"].batch)
    assert (loops["world-model"].minutes, loops["world-model"].steps) == (2.0, None)
    assert loops["world-model"].device == "cpu"
    assert {loop.batch for loop in resolved("all", "--set", "batch=7").values()} == {7}
    with pytest.raises(TrainingError, match="no training loop"):
        resolved("bundle", "--set", "batch=7")
    with pytest.raises(TrainingError, match="--threads must be at least 1"):
        resolved("all", "--threads", "0")


def finish(folder: Path, stage: str, config: LoopConfig, steps: int, weights: str = "weights") -> None:
    (folder / f"{stage}.safetensors").write_text(weights)
    (folder / f"{stage}.checkpoint").write_text("state")
    report = {"settings": dataclasses.asdict(config), "steps": steps, "seconds": 61.0}
    (folder / f"{stage}.json").write_text(json.dumps(report))


def test_the_folder_knows_what_is_new_begun_finished_and_outdated(tmp_path: Path):
    folder = WorkFolder(tmp_path, TINY)
    assert folder.standing("autoencoder") is Standing.NEW
    finish(tmp_path, "autoencoder", TINY.loops["autoencoder"], steps=20)
    assert folder.standing("autoencoder") is Standing.FINISHED
    folder.begin("world-model")
    (tmp_path / "world-model.checkpoint.previous").write_text("state")
    assert folder.standing("world-model") is Standing.BEGUN
    finish(tmp_path, "world-model", TINY.loops["world-model"], steps=20)
    assert folder.standing("world-model") is Standing.FINISHED

    again = WorkFolder(tmp_path, TINY)
    finish(tmp_path, "autoencoder", TINY.loops["autoencoder"], steps=20, weights="others")
    assert again.standing("world-model") is Standing.OUTDATED
    again.begin("world-model")
    assert again.standing("world-model") is Standing.NEW
    assert not list(tmp_path.glob("world-model.checkpoint*"))


def test_a_finished_stage_goes_on_when_its_budget_grows(tmp_path: Path):
    finish(tmp_path, "heads", TINY.loops["heads"], steps=20)
    for change, standing in (
        ({"steps": 21}, Standing.BEGUN),
        ({"steps": 20}, Standing.FINISHED),
        ({"steps": None, "minutes": 1.0}, Standing.FINISHED),
        ({"steps": None, "minutes": 2.0}, Standing.BEGUN),
    ):
        loops = {**TINY.loops, "heads": dataclasses.replace(TINY.loops["heads"], **change)}
        assert WorkFolder(tmp_path, dataclasses.replace(TINY, loops=loops)).standing("heads") is standing
    loops = {**TINY.loops, "heads": dataclasses.replace(TINY.loops["heads"], batch=3)}
    with pytest.raises(TrainingError, match="heads was trained with other settings here: batch 2 -> 3"):
        WorkFolder(tmp_path, dataclasses.replace(TINY, loops=loops)).standing("heads")


def test_the_folder_keeps_the_resolved_configuration_and_refuses_other_sizes(tmp_path: Path):
    preset = apply_settings(TINY, ["widths=16,48", "rate=2e-3"], ["heads"])
    WorkFolder(tmp_path, preset).begin("heads")
    kept = json.loads((tmp_path / "config.json").read_text())
    assert kept["sizes"]["widths"] == [16, 48]
    assert kept["stages"]["heads"]["settings"]["rate"] == 2e-3
    WorkFolder(tmp_path, preset)
    with pytest.raises(TrainingError, match=r"other sizes: widths \[16, 48\] -> \[16, 32\]"):
        WorkFolder(tmp_path, TINY)


def test_the_command_line_names_the_presets_and_stages_there_are():
    assert tuple(PRESETS) == PRESET_NAMES
    assert all(
        set(preset.loops) == set(STAGES) - {"latents", "bundle"} == set(FOUNDATIONS) for preset in PRESETS.values()
    )
    assert all(loop.steps for preset in PRESETS.values() for loop in preset.loops.values())
    order = {stage: index for index, stage in enumerate(STAGES)}
    assert all(order[other] < order[stage] for stage, others in FOUNDATIONS.items() for other in others)
