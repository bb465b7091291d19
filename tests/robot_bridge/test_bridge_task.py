"""`ExecuteTask` of the running bridge, its label, and what a plan looks like while it is followed; on real ROS."""

from __future__ import annotations

import json

import pytest

rclpy = pytest.importorskip("rclpy", reason="ROS 2 (rclpy) is not installed: see `vidplan doctor`")
pytest.importorskip("vidplan_msgs", reason="vidplan_msgs is not built: python ros2_ws/build_interfaces.py")

from action_msgs.msg import GoalStatus  # noqa: E402
from cell_fakes import SPEC  # noqa: E402
from nav_msgs.msg import Path  # noqa: E402
from rclpy.action import ActionClient  # noqa: E402
from ros_cell import RosCell  # noqa: E402
from ros_planner import Sway, free_address  # noqa: E402
from sensor_msgs.msg import CompressedImage  # noqa: E402
from std_srvs.srv import Trigger  # noqa: E402
from vidplan_msgs.action import ExecuteTask  # noqa: E402
from vidplan_msgs.msg import PlanStatus, TrialEvent  # noqa: E402
from vidplan_msgs.srv import LabelTrial  # noqa: E402
from visualization_msgs.msg import MarkerArray  # noqa: E402

from plan_protocol.server import PlanServer  # noqa: E402
from robot_bridge.config import BridgeConfig  # noqa: E402
from robot_bridge.ros import topics  # noqa: E402
from robot_bridge.ros.node import BridgeNode  # noqa: E402


class Client:
    """Asks for tasks, and looks at everything, on the fake cell's node."""

    def __init__(self, cell: RosCell) -> None:
        self.cell = cell
        self.action = ActionClient(cell.node, ExecuteTask, topics.TASK_ACTION)
        self.label = cell.node.create_client(LabelTrial, topics.LABEL_SERVICE)
        self.seen: dict[str, list] = {}
        self.feedback: list = []
        for kind, topic in ((PlanStatus, topics.PLANS), (TrialEvent, topics.TRIAL_EVENTS)):
            self.look(kind, topic)
        cell.wait_for(lambda: self.action.server_is_ready() and self.label.service_is_ready())

    def look(self, kind, topic: str) -> None:
        self.cell.node.create_subscription(kind, topic, self.seen.setdefault(topic, []).append, 10)

    def send(self, **goal):
        sent = self.action.send_goal_async(ExecuteTask.Goal(**goal), lambda heard: self.feedback.append(heard.feedback))
        handle = self.answer(sent)
        assert handle.accepted
        return handle, handle.get_result_async()

    def answer(self, future):
        self.cell.wait_for(future.done)
        return future.result()


@pytest.fixture
def cell(ros_context):
    cell = RosCell(ros_context)
    yield cell
    cell.close()


def test_a_task_from_its_goal_to_its_numbered_end(ros_context, cell, tmp_path):
    planner = Sway()
    server = PlanServer(free_address(), SPEC, planner)
    server.start()
    node = BridgeNode(BridgeConfig(server=server.address, record=str(tmp_path / "run")), context=ros_context)
    node.start()
    errors = ExecuteTask.Result
    try:
        client = Client(cell)
        cell.wait_for(lambda: node.state == "active")
        for topic, kind in (
            (topics.PATH, Path),
            (topics.MARKERS, MarkerArray),
            (topics.IMAGINED, CompressedImage),
            (topics.UNCERTAINTY, CompressedImage),
        ):
            client.look(kind, topic)

        # What stands against a goal is said with a number.
        for goal, code in (
            ({"instruction": " "}, errors.ERROR_INVALID_GOAL),
            ({"instruction": "wave", "dry_run": True}, errors.ERROR_INVALID_GOAL),
        ):
            answer = client.answer(client.send(**goal)[1])
            assert (answer.status, answer.result.error_code) == (GoalStatus.STATUS_ABORTED, code)
            assert answer.result.message

        handle, result = client.send(instruction="wave", seed=40, trial_id="t1")
        cell.wait_for(lambda: cell.speed() > 0.02)
        assert planner.seeds[0] == 40
        assert client.answer(client.send(instruction="other")[1]).result.error_code == errors.ERROR_BUSY
        cell.wait_for(lambda: client.feedback and client.feedback[-1].plans >= 2)
        assert client.feedback[-1].reward == 0.5
        cell.wait_for(lambda: all(client.seen[topic] for topic in client.seen))
        assert client.answer(handle.cancel_goal_async()).goals_canceling
        answer = client.answer(result)
        assert (answer.status, answer.result.error_code) == (GoalStatus.STATUS_CANCELED, errors.ERROR_CANCELLED)
        assert answer.result.plans >= 2
        cell.wait_for(lambda: cell.speed() < 1e-3)

        status = client.seen[topics.PLANS][0]
        assert (status.instruction, status.header.frame_id, status.accepted) == ("wave", "panda_link0", True)
        assert [(entry.name, entry.reward) for entry in status.candidates] == [("+x", 0.5)]
        path = client.seen[topics.PATH][-1]
        assert len(path.poses) == SPEC.horizon
        assert {marker.ns for marker in client.seen[topics.MARKERS][-1].markers} >= {"chosen", "waypoints"}
        assert bytes(client.seen[topics.IMAGINED][-1].data[:2]) == b"\xff\xd8"

        # Whoever watches says how it went, and that ends it.
        _, result = client.send(instruction="wave", trial_id="t2")
        cell.wait_for(lambda: cell.speed() > 0.02)
        label = LabelTrial.Request(trial_id="t2", outcome=LabelTrial.Request.OUTCOME_SUCCESS, progress=100)
        labelled = client.answer(client.label.call_async(label))
        assert labelled.success, labelled.message
        answer = client.answer(result)
        assert (answer.status, answer.result.error_code) == (GoalStatus.STATUS_SUCCEEDED, errors.ERROR_NONE)
        assert answer.result.outcome == errors.OUTCOME_SUCCESS
        written = json.loads((tmp_path / "run" / "labels.jsonl").read_text())
        assert (written["trial_id"], written["progress"]) == ("t2", 100)

        # The latched stop ends a task.
        _, result = client.send(instruction="wave", trial_id="t3")
        stop = cell.node.create_client(Trigger, topics.STOP_SERVICE)
        cell.wait_for(lambda: stop.service_is_ready() and cell.speed() > 0.02)
        assert client.answer(stop.call_async(Trigger.Request())).success
        assert client.answer(result).result.error_code == errors.ERROR_STOPPED
        cell.wait_for(lambda: cell.speed() < 1e-3)
        kinds = [(event.trial_id, event.kind) for event in client.seen[topics.TRIAL_EVENTS]]
        for kind in (TrialEvent.STARTED, TrialEvent.MOTION_STARTED, TrialEvent.FINISHED, TrialEvent.LABELLED):
            assert ("t2", kind) in kinds
    finally:
        node.close()
        server.close()
