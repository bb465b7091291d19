"""The three packages: what colcon and rosdep read, what they install, and the parameter file."""

from __future__ import annotations

import configparser
import json
import os
import re
import runpy
import subprocess
import sys
import xml.etree.ElementTree as ElementTree
from pathlib import Path
from typing import Any

import pytest
import yaml

import vidplan
from robot_bridge.config import BridgeConfig
from robot_bridge.isolation import isolated
from robot_bridge.ros.topics import INTERFACES
from robot_model import ros_names

ROOT = Path(__file__).resolve().parents[2]
SOURCE = ROOT / "ros2_ws" / "src"
PACKAGES = {"vidplan_msgs": "ament_cmake", "vidplan_bridge": "ament_python", "vidplan_bringup": "ament_cmake"}
CONFIG = SOURCE / "vidplan_bringup" / "config"


def project(key: str) -> str:
    """A text of pyproject.toml's project table."""
    found = re.search(rf'^{key} = "(.*)"$', (ROOT / "pyproject.toml").read_text(), re.MULTILINE)
    assert found
    return found[1]


def manifest(package: str) -> ElementTree.Element:
    return ElementTree.parse(SOURCE / package / "package.xml").getroot()


@pytest.mark.parametrize("package", PACKAGES)
def test_manifests(package: str) -> None:
    root = manifest(package)
    assert root.get("format") == "3"
    assert root.findtext("name") == package
    assert root.findtext("version") == project("version")
    assert root.findtext("license") == project("license")
    assert root.findtext("export/build_type") == PACKAGES[package]
    maintainer = root.find("maintainer")
    assert maintainer is not None
    assert re.fullmatch(r"\S+@\S+\.\S+", maintainer.get("email", ""))


def test_every_interface_is_generated() -> None:
    listed = re.findall(r'"((?:action|msg|srv)/\w+\.\w+)"', (SOURCE / "vidplan_msgs" / "CMakeLists.txt").read_text())
    folder = SOURCE / "vidplan_msgs"
    there = {path.relative_to(folder).as_posix() for path in folder.glob("*/*.*") if path.parent.name != "build"}
    assert set(listed) == there


@pytest.mark.parametrize(
    ("package", "folder", "pattern"),
    [
        ("vidplan_msgs", SOURCE / "vidplan_msgs", r"^([a-z_]+)/[A-Z]"),
        ("vidplan_bridge", ROOT / "robot_bridge", r"^\s*(?:from|import) (rclpy|[a-z_]+(?=\.(?:msg|srv|action) ))"),
    ],
)
def test_packages_name_what_they_depend_on(package: str, folder: Path, pattern: str) -> None:
    texts = [path.read_text() for path in folder.rglob("*") if path.suffix in (".py", ".msg", ".action", ".srv")]
    used = {name for text in texts for name in re.findall(pattern, text, re.MULTILINE)}
    assert len(used) > 2
    named = {element.text for element in manifest(package).iter() if element.tag.endswith("depend")}
    assert used - {package} <= named


def test_the_shell_runs_commands_that_exist() -> None:
    setup = (SOURCE / "vidplan_bridge" / "setup.py").read_text()
    scripts = re.findall(r'"(\w+) = \{NAME\}\.shell:(\w+)"', setup)
    shell = runpy.run_path(str(SOURCE / "vidplan_bridge" / "vidplan_bridge" / "shell.py"))
    assert {"bridge", "replay", "doctor"} == {name for name, _ in scripts}
    for name, function in scripts:
        assert callable(shell[function])
        assert name in vidplan.SUBCOMMANDS
    assert shell["VERSION"] == project("version")


def test_scripts_go_where_ros2_run_looks_and_use_the_shells_python() -> None:
    setup = configparser.ConfigParser()
    setup.read(SOURCE / "vidplan_bridge" / "setup.cfg")
    assert setup["install"]["install_scripts"] == "$base/lib/vidplan_bridge"
    assert setup["develop"]["script_dir"] == "$base/lib/vidplan_bridge"
    assert setup["build_scripts"]["executable"] == "/usr/bin/env python3"


def run_shell(folder: Path, code: str, *options: str) -> subprocess.CompletedProcess[str]:
    begin = f"import sys; sys.path.insert(0, {str(SOURCE / 'vidplan_bridge')!r}); sys.argv = ['bridge', '--help']; "
    command = [sys.executable, *options, "-c", begin + code]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False, cwd=folder)


def test_the_shell_hands_over(tmp_path: Path) -> None:
    done = run_shell(tmp_path, "from vidplan_bridge.shell import bridge; sys.exit(bridge())")
    assert done.returncode == 0, done.stderr
    assert "vidplan bridge" in done.stdout


def test_the_shell_says_what_is_missing(tmp_path: Path) -> None:
    done = run_shell(
        tmp_path, "from vidplan_bridge.shell import bridge; sys.exit(bridge())", "-S"
    )  # without site-packages
    assert done.returncode == 1
    assert "has no package 'vidplan'" in done.stderr


def test_the_shell_refuses_another_version(tmp_path: Path) -> None:
    done = run_shell(tmp_path, "from vidplan_bridge import shell; shell.VERSION = '9.0.0'; sys.exit(shell.bridge())")
    assert done.returncode == 1
    assert "was made for 9.0.0" in done.stderr


def test_the_parameter_file_is_the_bridges_table() -> None:
    writer = runpy.run_path(str(ROOT / "ros2_ws" / "write_parameters.py"))
    text = (CONFIG / "bridge.yaml").read_text()
    assert text == writer["text"](), "run: python ros2_ws/write_parameters.py"
    values = yaml.safe_load(text)["/**/vidplan_bridge"]["ros__parameters"]
    assert BridgeConfig.from_mapping(values) == BridgeConfig()


@pytest.mark.parametrize("namespace", ["", "lab1"])
def test_ros_takes_the_parameter_file(tmp_path: Path, namespace: str) -> None:
    pytest.importorskip("rclpy", reason="needs ROS 2: a sourced installation, or the wheels of extra 'ros'")
    changed = (CONFIG / "bridge.yaml").read_text().replace("control_rate: 15.0", "control_rate: 20.0")
    file = tmp_path / "bridge.yaml"
    file.write_text(changed.replace('robot_id: "robot"', 'robot_id: "seven"'))
    code = (
        "import sys, rclpy; from rclpy.node import Node; from robot_bridge.ros.parameters import declare; "
        "from robot_bridge.config import BridgeConfig; rclpy.init(args=sys.argv); "
        f"config = declare(Node('vidplan_bridge', namespace={namespace!r}), BridgeConfig()); "
        "print(config.control_rate, config.robot_id, config == BridgeConfig(control_rate=20.0, robot_id='seven'))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, "--ros-args", "--params-file", str(file)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        env={**os.environ, **isolated()},
    )
    assert done.stdout.split() == ["20.0", "seven", "True"], done.stderr


def test_layouts_show_topics_of_this_repository() -> None:
    known = {ros_names.JOINT_STATES, *(entry.name for entry in INTERFACES)}
    for name in ros_names.CAMERAS:
        known |= {ros_names.camera_topic(name), ros_names.camera_info_topic(name)}
    known |= {"/robot_description", "/tf", "/tf_static"}  # of the robot's driver
    rviz = yaml.safe_load((CONFIG / "vidplan.rviz").read_text())
    displays = rviz["Visualization Manager"]["Displays"]
    topics = {display[key]["Value"] for display in displays for key in ("Topic", "Description Topic") if key in display}
    assert {ros_names.camera_topic(name) for name in ros_names.CAMERAS} <= topics <= known
    panels = json.loads((CONFIG / "vidplan.foxglove.json").read_text())["configById"]
    named = set(re.findall(r'"(/[\w/]+)', json.dumps(panels)))
    assert {ros_names.camera_topic(name) for name in ros_names.CAMERAS} <= named <= known
    assert {"/vidplan/stop", "/vidplan/rearm", "/vidplan/plan/markers"} <= {
        *re.findall(r'"(/[\w/]+)"', json.dumps(panels))
    }


def test_the_foxglove_layout_places_every_panel() -> None:
    layout = json.loads((CONFIG / "vidplan.foxglove.json").read_text())

    def leaves(node: Any) -> list[str]:
        return [node] if isinstance(node, str) else leaves(node["first"]) + leaves(node["second"])

    placed = leaves(layout["layout"])
    assert sorted(placed) == sorted(layout["configById"])
