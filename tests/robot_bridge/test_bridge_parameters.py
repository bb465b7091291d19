"""Parameters and topics that cannot be used, on real ROS: named in one line, with what to do."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

rclpy = pytest.importorskip("rclpy", reason="ROS 2 (rclpy) is not installed: see `vidplan doctor`")

from rclpy.node import Node  # noqa: E402

from robot_bridge import cli  # noqa: E402
from robot_bridge.config import BridgeConfig  # noqa: E402
from robot_bridge.errors import ConfigError  # noqa: E402
from robot_bridge.ros.parameters import declare  # noqa: E402
from robot_bridge.ros.ros_edge import SENSOR_QOS  # noqa: E402
from robot_bridge.ros.sensor_topics import subscribe  # noqa: E402


@pytest.fixture
def refusal(ros_context) -> Iterator:
    """What is said of a node's parameters."""
    made: list[Node] = []

    def say(*parameters: str) -> str:
        arguments = ["--ros-args", *(word for each in parameters for word in ("-p", each))]
        made.append(Node("vidplan_bridge", context=ros_context, cli_args=arguments))
        with pytest.raises(ConfigError) as caught:
            declare(made[-1], BridgeConfig())
        return str(caught.value)

    yield say
    for node in made:
        node.destroy_node()


def test_a_misspelt_limit_is_not_silently_the_default_one(refusal):
    said = refusal("max_linear_sped:=0.05", "zed_serial:=17")
    assert said.startswith("max_linear_sped: is not a setting of the bridge; did you mean max_linear_speed?")
    assert "zed_serial: is not a setting of the bridge (" in said


def test_every_wrong_value_is_named_with_its_range_and_unit(refusal):
    said = refusal("window:=9.0", "max_linear_speed:=5.0", "table_height:=20mm", "control_rate:=30.0")
    assert "window: must lie in [0.1, 0.5] s, got 9" in said
    assert "max_linear_speed: must lie in [0.01, 1] m/s, got 5" in said
    assert "table_height: must be a finite number, got '20mm'" in said
    assert "control_rate" not in said


def test_a_parameter_file_that_is_not_there_is_told(monkeypatch, capsys):
    monkeypatch.setattr(cli.signal, "signal", lambda *_: None)  # Ctrl-C stays pytest's
    assert cli.main(["--ros-args", "--params-file", "/nowhere/bridge.yaml"]) == 1
    said = capsys.readouterr().err
    assert said.startswith("vidplan bridge: --ros-args: ")
    assert "/nowhere/bridge.yaml" in said


def test_a_camera_on_a_topic_of_another_type_is_told(ros_context):
    node = Node("test_topics", context=ros_context)
    config = BridgeConfig(cameras=("left=/one", "right=/two", "wrist=/joint_states"))
    try:
        with pytest.raises(ConfigError, match="/joint_states as JointState"):
            subscribe(node, config, None, SENSOR_QOS)
    finally:
        node.destroy_node()
