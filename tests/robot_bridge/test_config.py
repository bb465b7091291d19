"""Settings: every range holds, contradictions are named, command line and mapping agree."""

from __future__ import annotations

import math
from dataclasses import fields

import pytest

from robot_bridge import cli
from robot_bridge.config import BridgeConfig
from robot_bridge.errors import ConfigError

NUMBERS = [item for item in fields(BridgeConfig) if isinstance(item.default, float)]


@pytest.mark.parametrize("item", NUMBERS, ids=lambda item: item.name)
def test_every_number_refuses_values_outside_its_range(item):
    low, high = item.metadata["low"], item.metadata["high"]
    assert low <= item.default <= high
    for value in (low - 1e-3, high + 1e-3, math.nan, math.inf, "fast", None, True):
        with pytest.raises(ConfigError, match=f"^{item.name}: ") as caught:
            BridgeConfig.from_mapping({item.name: value})
        assert caught.value.field == item.name


@pytest.mark.parametrize(
    ("values", "field"),
    [
        ({"robot": "ur5"}, "robot"),
        ({"speed": 3.0}, "speed"),
        ({"cameras": ("left",)}, "cameras"),
        ({"cameras": ("left=/a", "left=/b")}, "cameras"),
        ({"cameras": ("left=/a", "right=/a")}, "cameras"),
        ({"cameras": "left=/a"}, "cameras"),
        ({"cameras": ()}, "cameras"),
        ({"workspace_lower": (0.1, 0.2)}, "workspace_lower"),
        ({"workspace_lower": (0.9, -0.6, 0.0)}, "workspace_lower"),
        ({"condition_slow": 30.0}, "condition_slow"),
        ({"gripper_open_below": 0.7}, "gripper_open_below"),
        ({"stop_time": 0.1}, "stop_time"),
        ({"dry_run": "yes"}, "dry_run"),
        ({"instruction": 3}, "instruction"),
    ],
)
def test_what_cannot_be_used_is_refused_by_name(values, field):
    with pytest.raises(ConfigError, match=f"^{field}: "):
        BridgeConfig.from_mapping(values)


def test_topics_follow_the_robot():
    assert BridgeConfig(robot="fr3").arm_topic == "/fr3_arm_controller/joint_trajectory"
    assert BridgeConfig(arm_command_topic="/mine").arm_topic == "/mine"
    assert BridgeConfig().camera_topics["wrist"] == "/zed_wrist/zed_node/left/color/rect/image"


def test_every_setting_is_an_option_of_the_command():
    given = cli.parser().parse_args(
        ["--robot", "fr3", "--dry-run", "--cameras", "left=/l", "wrist=/w", "--workspace-lower", "0.2", "-0.3", "0.1"]
    )
    assert given.robot == "fr3"
    assert given.dry_run
    assert given.cameras == ["left=/l", "wrist=/w"]
    assert given.workspace_lower == [0.2, -0.3, 0.1]
    assert {item.name for item in fields(BridgeConfig)} <= set(vars(given))


def test_the_command_says_what_is_wrong_and_fails(capsys):
    assert cli.main(["--max-linear-speed", "9"]) == 1
    assert "max_linear_speed: must lie in [0.01, 1]" in capsys.readouterr().err
