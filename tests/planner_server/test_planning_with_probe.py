from __future__ import annotations

from pathlib import Path

import pytest
import torch

from models.testing import random_bundle
from models.uncertainty.c3 import ProbeConfig, make_probe
from models.uncertainty.c3.files import install_probe
from plan_protocol.server import Context
from planner_server.config import PlannerConfig
from planner_server.options import chosen_config, parser
from planner_server.service import blank_request, build_planner, open_bundle


def test_a_probe_in_the_folder_is_what_the_planner_trusts(tmp_path: Path):
    folder = random_bundle(tmp_path)
    torch.set_num_threads(1)
    torch.manual_seed(0)
    plain = open_bundle(folder, "cpu")
    scale = plain.config.uncertainty.highest
    install_probe(make_probe(ProbeConfig("continuous", features=16, width=16, embedding=16, scale=scale)), folder)
    assert type(open_bundle(folder, "cpu").uncertainty) is type(plain.uncertainty)  # evaluation keeps the head
    doubts = {}
    for name, bundle in (("head", plain), ("probe", open_bundle(folder, "cpu", judged=True))):
        planner = build_planner(bundle, PlannerConfig(iterations=1, unsure=1.0))
        doubts[name] = planner.plan(blank_request(bundle), Context("robot", "")).uncertainty
    assert 0 <= doubts["probe"] <= 1
    assert doubts["probe"] != pytest.approx(doubts["head"], abs=1e-4)


@pytest.mark.parametrize(
    ("own", "said", "expected"),
    [(None, [], 0.5), (0.2, [], 0.2), (0.2, ["--unsure", "0.4"], 0.4), (None, ["--unsure", "0.4"], 0.4)],
)
def test_a_probe_brings_its_own_bound_unless_another_is_said(tmp_path: Path, own, said: list[str], expected: float):
    install_probe(make_probe(ProbeConfig("fixed", features=16, width=16, embedding=16, unsure=own)), tmp_path)
    arguments = ["--bundle", str(tmp_path), *said]
    assert chosen_config(parser().parse_args(arguments)).unsure == expected
    assert chosen_config(parser().parse_args([*arguments, "--no-uncertainty"])).unsure == 1.0
    (tmp_path / "probe.json").write_text("[")
    assert chosen_config(parser().parse_args(["--bundle", str(tmp_path)])).unsure == 0.5
