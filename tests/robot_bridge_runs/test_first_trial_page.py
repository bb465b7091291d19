"""The commands of docs/first-trial.md and docs/replay-and-report.md exist, with the options they are shown with."""

from __future__ import annotations

import argparse
import re
import shlex
from collections.abc import Callable
from pathlib import Path

import pytest

import vidplan
from robot_bridge import cli
from robot_bridge.bags import cli as bag_cli
from robot_bridge.doctor import cli as doctor
from robot_bridge.replay import cli as replay
from robot_bridge.trials import trial_cli

DOCS = Path(__file__).resolve().parents[2] / "docs"
PARSERS: dict[str, Callable[[], argparse.ArgumentParser]] = {
    "bag": bag_cli._parser,
    "bridge": cli.parser,
    "doctor": doctor._parser,
    "replay": replay._parser,
    "trial": trial_cli._parser,
}


def commands(page: str) -> list[list[str]]:
    text = (DOCS / page).read_text().replace("\\\n", " ")
    found = [shlex.split(line, comments=True) for line in re.findall(r"^ *vidplan (.*)$", text, re.MULTILINE)]
    assert len(found) > 3
    return found


@pytest.mark.parametrize("page", ["first-trial.md", "replay-and-report.md"])
def test_every_command_can_be_given_as_it_is_shown(page: str) -> None:
    for name, *rest in commands(page):
        assert name in vidplan.SUBCOMMANDS
        at = rest.index("--") if "--" in rest else len(rest)
        if name in PARSERS and not any(word.startswith("[") for word in rest):
            PARSERS[name]().parse_args(rest[:at])
        if rest[at + 1 :]:
            cli.parser().parse_args(rest[at + 1 :])


def test_the_example_mapping_is_one(tmp_path: Path) -> None:
    from robot_bridge.bags.mapping import load_mapping

    (example,) = re.findall(r"```yaml\n(.*?)```", (DOCS / "replay-and-report.md").read_text(), re.DOTALL)
    (tmp_path / "lab.yaml").write_text(example)
    mapping = load_mapping(tmp_path / "lab.yaml")
    assert (mapping.robot, mapping.stamps, mapping.frame_rate) == ("fr3", "header", 20.0)
    assert mapping.gripper is not None
    assert mapping.gripper.fraction(20.0) == pytest.approx(0.75)
