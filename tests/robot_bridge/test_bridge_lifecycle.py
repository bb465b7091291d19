"""The managed node on real ROS: every transition, what refuses it, and what it leaves behind."""

from __future__ import annotations

from dataclasses import replace

import pytest

rclpy = pytest.importorskip("rclpy", reason="ROS 2 (rclpy) is not installed: see `vidplan doctor`")

from cell_fakes import SPEC  # noqa: E402
from diagnostic_msgs.msg import DiagnosticArray  # noqa: E402
from lifecycle_msgs.msg import Transition  # noqa: E402
from lifecycle_msgs.srv import ChangeState  # noqa: E402
from rcl_interfaces.srv import SetParameters  # noqa: E402
from rclpy.parameter import Parameter  # noqa: E402
from ros_cell import RosCell  # noqa: E402
from ros_planner import Sway, free_address  # noqa: E402
from std_msgs.msg import String  # noqa: E402

from plan_protocol.server import PlanServer  # noqa: E402
from robot_bridge.config import BridgeConfig  # noqa: E402
from robot_bridge.ros.node import BridgeNode  # noqa: E402


class Manager:
    """A lifecycle manager on the fake cell's node."""

    def __init__(self, cell: RosCell) -> None:
        self.cell = cell
        self.change = cell.node.create_client(ChangeState, "/vidplan_bridge/change_state")
        self.set = cell.node.create_client(SetParameters, "/vidplan_bridge/set_parameters")
        cell.wait_for(lambda: self.change.service_is_ready() and self.set.service_is_ready())

    def transition(self, number: int) -> bool:
        return self.answer(self.change.call_async(ChangeState.Request(transition=Transition(id=number)))).success

    def parameter(self, name: str, value) -> tuple[bool, str]:
        request = SetParameters.Request(parameters=[Parameter(name, value=value).to_parameter_msg()])
        (result,) = self.answer(self.set.call_async(request)).results
        return result.successful, result.reason

    def answer(self, future):
        self.cell.wait_for(future.done)
        return future.result()


@pytest.fixture
def cell(ros_context):
    cell = RosCell(ros_context)
    yield cell
    cell.close()


def test_every_transition(ros_context, cell):
    server = PlanServer(free_address(), SPEC, Sway())
    server.start()
    wrong = PlanServer(free_address(), replace(SPEC, robots=("ur5",), gripper="1_open_0_closed"), Sway())
    wrong.start()
    health: dict[str, str] = {}
    cell.node.create_subscription(
        DiagnosticArray,
        "/diagnostics",
        lambda message: health.update({status.name: status.message for status in message.status}),
        10,
    )
    config = BridgeConfig(server=wrong.address, instruction="wave", autostart=False, connect_timeout=20.0)
    node = BridgeNode(config, context=ros_context)
    node.start()
    try:
        manager = Manager(cell)
        assert node.state == "unconfigured"
        cell.wait_for(lambda: health.get("vidplan_bridge: lifecycle") == "unconfigured")

        # A transition that does not exist here gets no answer from rclpy; the node lives on.
        manager.change.call_async(ChangeState.Request(transition=Transition(id=Transition.TRANSITION_ACTIVATE)))

        # Refused, by settings that contradict each other and by a planner that differs: each reason is named.
        assert manager.parameter("condition_slow", 40.0)[0]
        assert not manager.transition(Transition.TRANSITION_CONFIGURE)
        cell.wait_for(lambda: any("condition_slow" in told["detail"] for told in cell.heard("transition_refused")))
        assert manager.parameter("condition_slow", 17.0)[0]
        assert not manager.transition(Transition.TRANSITION_CONFIGURE)
        cell.wait_for(lambda: any("ur5" in told["detail"] for told in cell.heard("transition_refused")))
        assert "1_open_0_closed" in cell.heard("transition_refused")[-1]["detail"]
        assert node.state == "unconfigured"

        # Configured: connected and awake, but it does not move.
        assert manager.parameter("server", server.address)[0]
        assert manager.transition(Transition.TRANSITION_CONFIGURE)
        assert node.state == "inactive"
        changed, why = manager.parameter("max_linear_speed", 0.2)
        assert not changed
        assert "clean it up first" in why
        cell.wait_for(lambda: cell.heard("connected"))
        cell.wait_for(lambda: "Hz" in health.get("vidplan_bridge: camera wrist", ""))
        assert health["vidplan_bridge: guard"] == "inactive"
        assert not cell.heard("plan_requested")
        assert not cell.trajectories

        assert manager.transition(Transition.TRANSITION_ACTIVATE)
        cell.wait_for(lambda: cell.speed() > 0.02)
        assert manager.transition(Transition.TRANSITION_DEACTIVATE)
        cell.wait_for(lambda: cell.heard("deactivated") and cell.speed() < 1e-3)
        plans = len(cell.heard("plan_requested"))
        assert manager.transition(Transition.TRANSITION_ACTIVATE)
        cell.wait_for(lambda: len(cell.heard("plan_requested")) > plans)
        assert manager.transition(Transition.TRANSITION_DEACTIVATE)

        # Cleaned up: no way to the arm is left, settings may change; then the same again.
        assert manager.transition(Transition.TRANSITION_CLEANUP)
        assert cell.speed() < 1e-3
        cell.wait_for(lambda: not cell.node.count_publishers("/panda_arm_controller/joint_trajectory"))
        assert manager.parameter("max_linear_speed", 0.2)[0]
        assert manager.transition(Transition.TRANSITION_CONFIGURE)
        assert node.config.max_linear_speed == 0.2
        assert manager.transition(Transition.TRANSITION_INACTIVE_SHUTDOWN)
        assert node.state == "finalized"
        assert node.done.is_set()
    finally:
        node.close()
        for running in (server, wrong):
            running.close()


def test_a_value_ros_refuses_is_named_when_configuring_and_can_be_mended(ros_context):
    context = rclpy.Context()
    rclpy.init(args=["--ros-args", "-p", "max_linear_speed:=9.0", "-p", "robot:=ur5"], context=context)
    node = BridgeNode(BridgeConfig(autostart=False, connect_timeout=0.5), context=context)
    try:
        node._control.trigger_configure()
        assert "max_linear_speed" in str(node._stages.refusal)
        assert "m/s" in str(node._stages.refusal) or "flange motion" in str(node._stages.refusal)
        node._control.set_parameters([Parameter("max_linear_speed", value=0.1)])
        node._control.trigger_configure()
        assert str(node._stages.refusal).startswith("robot: ")
        node._control.set_parameters([Parameter("robot", value="fr3")])
        node._control.trigger_configure()
        assert "no planner at" in str(node._stages.refusal)
        assert node.state == "unconfigured"
    finally:
        node.close()
        rclpy.try_shutdown(context=context)


def test_autostart_waits_for_the_planner_and_keeps_the_task_it_was_given_meanwhile(ros_context, cell):
    address = free_address()
    node = BridgeNode(BridgeConfig(server=address, connect_timeout=0.5), context=ros_context)
    instruction = cell.node.create_publisher(String, "/vidplan/instruction", 10)
    node.start()
    server = None
    try:
        cell.wait_for(lambda: any("no planner at" in told["detail"] for told in cell.heard("waiting")))
        cell.wait_for(lambda: instruction.get_subscription_count())
        instruction.publish(String(data="wave"))
        assert node.state in ("unconfigured", "configuring", "errorprocessing")
        cell.wait_for(lambda: node._operator._early == "wave")
        server = PlanServer(address, SPEC, Sway())
        server.start()
        cell.wait_for(lambda: cell.speed() > 0.02)
        assert node.state == "active"
        assert not cell.heard("transition_refused"), "waiting is no refusal"
    finally:
        node.close()
        if server:
            server.close()
