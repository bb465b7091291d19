from __future__ import annotations

import dataclasses
import json
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from models.bundle import load_bundle
from models.errors import BundleError, TrainingError
from models.evaluation import Options, evaluate_models, write_report
from models.evaluation.footage import Footage
from models.evaluation.judged import Judged
from models.evaluation.probes import HEAD, BinsAsJudge, contenders, judge_pictures, measure_judges
from models.evaluation.probes_table import probes, reliability, reliability_by_eps, verdicts
from models.uncertainty import uq_cli
from models.uncertainty.c3 import Featured, FeaturedVideoModel, Probe, ProbeConfig, make_probe
from models.uncertainty.c3.files import (
    Trained,
    install_probe,
    installed_bound,
    installed_probe,
    load_judged_bundle,
    load_trained,
    remove_probe,
    trained_probes,
    with_probe,
)


def a_probe(bundle, variant: str = "continuous", **changes) -> Probe:
    torch.manual_seed(0)
    config = ProbeConfig(variant, features=16, width=16, embedding=16, scale=bundle.config.uncertainty.highest)
    return make_probe(dataclasses.replace(config, **changes)).eval().requires_grad_(False)


def leave(probe: Probe, run: Path, stage: str) -> None:
    """Files as a finished stage leaves them."""
    save_file({f"probe.{name}": value for name, value in probe.state_dict().items()}, run / f"{stage}.safetensors")
    (run / f"{stage}.json").write_text(json.dumps({"notes": {"probe": dataclasses.asdict(probe.config)}}))


@pytest.fixture(scope="module")
def judged(bundle, dataset) -> Judged:
    footage = Footage(bundle, dataset, "val")
    batch = footage.clips(footage.spread(3))
    noise = bundle.world_model.initial_noise(batch.history, torch.Generator().manual_seed(0))
    model = FeaturedVideoModel.of(bundle)
    return Judged(
        footage, batch, noise, model.imagine(batch.history, batch.history_poses, batch.actions, steps=0, noise=noise)
    )


@pytest.fixture(scope="module")
def trained(bundle) -> dict[str, Trained]:
    other = {key: value * 1.1 for key, value in bundle.world_model.denoiser.state_dict().items()}
    return {
        "probe-fixed-0.5-bce": Trained(a_probe(bundle, "fixed", eps=0.5), None),
        "probe-continuous-bce": Trained(a_probe(bundle), None),
        "probe-continuous-brier": Trained(a_probe(bundle), None),
        "probe-multi-bce-end-to-end": Trained(a_probe(bundle, "multi"), other),
    }


@pytest.fixture(scope="module")
def part(bundle, judged, trained):
    return measure_judges(bundle, contenders(bundle, trained), judged, {"light": judged}, lambda what, share: None)


def test_every_judge_is_measured_in_and_out_of_distribution(trained, part):
    assert list(part["judges"]) == [HEAD, *trained]
    for name, entry in part["judges"].items():
        assert list(entry["by_eps"]) == (["0.5"] if "fixed" in name else ["0.1", "0.3", "0.5", "0.7", "0.9"])
        assert 0 <= entry["ece"] <= entry["mce"] <= 1
        assert entry["unfamiliar"]["light"]["auroc"] == pytest.approx(0.5)
        assert entry["unfamiliar"]["light"]["ece"] == entry["ece"]
    json.dumps(part)
    table = probes(part)
    assert {len(row) for row in table.rows} == {13}
    assert [row[1] for row in table.rows[1:3]] == ["in distribution", "light"]
    assert "<svg" in reliability(part, HEAD)
    assert list(reliability_by_eps(part, "probe-fixed-0.5-bce")) == ["0.5"]


def test_calibration_is_that_of_the_events_counted_by_hand(bundle, judged, trained, part):
    probe = trained["probe-continuous-bce"].probe
    confidence = probe.confidence(judged.imagined, 0.5).numpy().ravel()
    error = probe.split((judged.imagined.latents - judged.batch.future).abs().flatten(0, 1)).numpy().ravel()
    hit = error <= 0.5 * probe.config.scale
    bins = np.minimum((confidence * 10).astype(int), 9)
    gaps = [abs(hit[bins == b].mean() - confidence[bins == b].mean()) * (bins == b).mean() for b in set(bins)]
    assert part["judges"]["probe-continuous-bce"]["by_eps"]["0.5"]["ece"] == pytest.approx(sum(gaps), abs=2e-4)


def test_the_head_is_asked_through_its_bins(bundle, judged):
    judge, logs = BinsAsJudge(bundle.uncertainty), bundle.uncertainty.log_probabilities(judged.imagined)
    assert torch.allclose(judge.confidences(judged.imagined, (0.1,))[0], logs.exp()[..., :3, :, :].sum(4), atol=1e-6)
    assert torch.allclose(judge.confidences(judged.imagined, (1.0,))[0], torch.ones(()), atol=1e-5)
    assert torch.equal(judge(judged.imagined).h, bundle.uncertainty(judged.imagined).h)


def test_a_probe_trained_end_to_end_judges_its_own_video_model(bundle, judged, trained):
    found = contenders(bundle, trained)
    assert found["probe-continuous-bce"].model is found[HEAD].model
    batch, own = judged.batch, found["probe-multi-bce-end-to-end"].model
    imagined = own.imagine(batch.history, batch.history_poses, batch.actions, noise=judged.noise)
    assert not torch.equal(imagined.latents, judged.imagined.latents)


def test_verdicts_name_the_worst_and_compare_the_scores(part):
    found = {verdict.what: verdict for verdict in verdicts(part)}
    worst = max(one["ece"] for one in part["judges"]["probe-continuous-bce"]["by_eps"].values())
    assert found["probe-continuous-bce: ECE in distribution, worst eps"].measured == f"{worst:.4f}"
    assert found["probe-continuous-bce: ECE in distribution, worst eps"].met == (worst <= 0.05)
    assert found["probe-continuous: ECE, BCE against Brier"].met
    assert not any(HEAD in what for what in found)


def test_pictures_of_every_judge(bundle, judged, trained):
    pictures = judge_pictures(bundle, contenders(bundle, trained), judged)
    assert set(pictures) == {"imagined", HEAD, *trained}
    assert {picture.shape for picture in pictures.values()} == {(2 * 48, 3 * 80, 3)}
    assert not np.array_equal(pictures["imagined"], pictures["probe-continuous-bce"])


def test_a_probe_in_a_bundle_is_what_planners_get(bundle, bundle_path, tmp_path, scene):
    folder = shutil.copytree(bundle_path, tmp_path / "bundle")
    assert installed_probe(folder) is None
    assert load_judged_bundle(folder).hash == bundle.hash
    probe = a_probe(bundle, "multi", eps=0.3)
    install_probe(probe, folder)
    planning = load_judged_bundle(folder)
    imagined = planning.world_model.imagine(*scene, generator=torch.Generator().manual_seed(0))
    assert isinstance(imagined, Featured)
    assert torch.allclose(planning.uncertainty(imagined).h, probe(imagined).h, atol=1e-2)
    assert planning.hash != bundle.hash
    assert load_bundle(folder).hash == bundle.hash
    (folder / "probe.safetensors").write_bytes(b"nonsense")
    with pytest.raises(BundleError, match="damaged"):
        load_judged_bundle(folder)
    remove_probe(folder)
    assert load_judged_bundle(folder).hash == bundle.hash


def test_a_probe_of_another_model_is_refused(bundle):
    with pytest.raises(BundleError, match=r"scale 9\.0 instead of 4\.0"):
        with_probe(bundle, a_probe(bundle, scale=9.0))


def test_probes_of_a_run_are_found_by_name(bundle, tmp_path):
    with pytest.raises(TrainingError, match="no probes"):
        trained_probes(tmp_path)
    with pytest.raises(TrainingError, match="is missing"):
        load_trained(tmp_path, "probe-multi-bce")
    probe = a_probe(bundle, "multi")
    weights = {f"probe.{name}": value for name, value in probe.state_dict().items()}
    save_file({**weights, "denoiser.x": torch.ones(2)}, tmp_path / "probe-multi-bce.safetensors")
    (tmp_path / "probe-multi-bce.json").write_text(json.dumps({"notes": {"probe": dataclasses.asdict(probe.config)}}))
    (found,) = trained_probes(tmp_path).values()
    assert found.probe.config == probe.config
    assert torch.equal(found.probe.state_dict()["position"], probe.state_dict()["position"])
    assert found.denoiser is not None
    assert list(found.denoiser) == ["x"]


def test_commands_choose_and_compare_probes(bundle, bundle_path, dataset, tmp_path, capsys):
    folder, run, out = shutil.copytree(bundle_path, tmp_path / "bundle"), tmp_path / "run", tmp_path / "out"
    run.mkdir()
    for variant, stage in (("continuous", "probe-continuous-bce"), ("fixed", "probe-fixed-0.1-bce")):
        leave(a_probe(bundle, variant), run, stage)
    choose = ["probe", "--bundle", str(folder)]
    assert uq_cli.main(choose) == 1
    assert "--run DIR --stage NAME" in capsys.readouterr().err
    assert uq_cli.main([*choose, "--run", str(run)]) == 1
    assert "go together" in capsys.readouterr().err
    assert uq_cli.main([*choose, "--run", str(run), "--stage", "probe-multi-bce"]) == 1
    assert "finished there: probe-continuous-bce, probe-fixed-0.1-bce" in capsys.readouterr().err
    assert uq_cli.main(["probe", "--bundle", str(run), "--remove"]) == 1
    assert "is not a bundle" in capsys.readouterr().err
    assert uq_cli.main([*choose, "--run", str(run), "--stage", "probe-continuous-bce", "--eps", "0.3"]) == 0
    assert "continuous probe at eps 0.3" in capsys.readouterr().out
    assert uq_cli.main([*choose, "--unsure", "0.2"]) == 0
    assert "uncertain beyond a mean h of 0.2" in capsys.readouterr().out
    assert installed_bound(folder) == 0.2
    assert uq_cli.main([*choose, "--unsure", "20"]) == 1
    assert "from 0 to 1" in capsys.readouterr().err
    assert uq_cli.main([*choose, "--eps", "0.7"]) == 0
    assert installed_probe(folder).config.eps == 0.7
    assert installed_bound(folder) is None  # it was for another eps
    assert uq_cli.main([*choose, "--eps", "7"]) == 1
    assert uq_cli.main([*choose, "--run", str(run), "--stage", "probe-fixed-0.1-bce", "--eps", "0.3"]) == 1
    assert "keeps the eps" in capsys.readouterr().err
    assert uq_cli.main([*choose, "--remove"]) == 0
    assert installed_probe(folder) is None

    compare = ["probes", "--run", str(run), "--bundle", str(folder), "--data", str(dataset), "--out", str(out)]
    assert uq_cli.main([*compare, "--ood", str(dataset)]) == 1
    assert "KIND=DIR" in capsys.readouterr().err
    assert uq_cli.main(["probes", "--run", str(run), "--data", str(dataset), "--out", str(out)]) == 1
    assert "--bundle DIR" in capsys.readouterr().err
    assert uq_cli.main([*compare, "--ood", f"light={dataset}", "--clips", "3", "--threads", "1"]) == 0
    assert "| probe-continuous-bce | light |" in capsys.readouterr().out
    page = (out / "probes.md").read_text()
    assert all((out / file).is_file() for file in re.findall(r"\]\(([^)]+)\)", page))
    assert {"probe-fixed-0.1-bce-reliability.svg", "30-bin-head.png"} <= set(re.findall(r"\]\(([^)]+)\)", page))
    written = {path.name for path in out.iterdir()}
    assert {
        "probes.json",
        "probes.md",
        "imagined.png",
        "30-bin-head.png",
        "probe-fixed-0.1-bce-reliability.svg",
    } <= written


def test_the_evaluation_reports_the_probes_of_a_run(bundle, dataset, tmp_path):
    run = tmp_path / "run"
    run.mkdir()
    for variant, stage in (("continuous", "probe-continuous-bce"), ("multi", "probe-multi-brier")):
        leave(a_probe(bundle, variant), run, stage)
    options = Options(quick=True, clips=3, threads=1, parts=("probes",), probes=run)
    results, media = evaluate_models(bundle, dataset, None, {"light": dataset}, options, lambda what, share: None)
    page = write_report(results, media, tmp_path / "out").read_text()
    assert "failed" not in results
    for name in (HEAD, "probe-continuous-bce", "probe-multi-brier"):
        assert f"<tr><th>{name}</th><td>light</td>" in page
        assert f"<p>{name}</p><svg" in page
        assert f"last imagined frames: {name}" in page
    assert "| probe-multi-brier | in distribution |" in (tmp_path / "out" / "card.md").read_text()
