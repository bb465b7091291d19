"""The generated interfaces, built for real, used for real: an action, a topic and a service between two processes."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from robot_bridge.guard.reasons import Reason
from robot_bridge.isolation import isolated

pytestmark = [pytest.mark.xdist_group("ros2_ws"), pytest.mark.timeout(900), pytest.mark.usefixtures("vidplan_msgs")]
PACKAGE = Path(__file__).resolve().parents[2] / "ros2_ws" / "src" / "vidplan_msgs"


class Client:
    """An rclpy node of its own context, spun by whoever waits."""

    def __init__(self, domain: int) -> None:
        import rclpy
        from rclpy.action import ActionClient
        from rclpy.executors import SingleThreadedExecutor
        from rclpy.node import Node
        from vidplan_msgs.action import ExecuteTask
        from vidplan_msgs.msg import PlanStatus
        from vidplan_msgs.srv import LabelTrial

        self.context = rclpy.Context()
        rclpy.init(context=self.context, domain_id=domain)
        self.node = Node("task_client", context=self.context)
        self.executor = SingleThreadedExecutor(context=self.context)
        self.executor.add_node(self.node)
        self.action = ActionClient(self.node, ExecuteTask, "/vidplan/execute_task")
        self.label = self.node.create_client(LabelTrial, "/vidplan/label_trial")
        self.plans: list[Any] = []
        self.feedback: list[Any] = []
        self.node.create_subscription(PlanStatus, "/vidplan/plans", self.plans.append, 10)

    def until(self, condition: Callable[[], bool], seconds: float = 30.0) -> None:
        end = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < end, f"not within {seconds} s"
            self.executor.spin_once(timeout_sec=0.05)

    def answer(self, future: Any) -> Any:
        self.until(future.done)
        return future.result()

    def send(self, **goal: Any) -> Any:
        from vidplan_msgs.action import ExecuteTask

        message = ExecuteTask.Goal(**goal)
        return self.answer(self.action.send_goal_async(message, lambda heard: self.feedback.append(heard.feedback)))

    def close(self) -> None:
        import rclpy

        self.executor.shutdown(timeout_sec=1.0)
        self.node.destroy_node()
        rclpy.try_shutdown(context=self.context)


@pytest.fixture
def client(monkeypatch: pytest.MonkeyPatch) -> Iterator[Client]:
    """A client, and the action's server in another process, in a ROS domain of their own."""
    environment = {**isolated(), "ROS_PYTHON_CHECK_FIELDS": "1"}
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    program = [sys.executable, str(Path(__file__).with_name("task_server.py"))]
    with subprocess.Popen(program, env=os.environ.copy(), stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout
        assert server.stdout.readline().strip() == "ready"
        client = Client(int(environment["ROS_DOMAIN_ID"]))
        try:
            client.until(lambda: client.action.server_is_ready() and client.label.service_is_ready())
            client.until(lambda: client.node.count_publishers("/vidplan/plans") > 0)
            yield client
        finally:
            client.close()
            server.terminate()
            server.wait(10)


def test_an_action_a_topic_and_a_service_cross_processes(client: Client) -> None:
    from action_msgs.msg import GoalStatus
    from vidplan_msgs.action import ExecuteTask
    from vidplan_msgs.srv import LabelTrial

    assert not client.send(instruction="").accepted
    handle = client.send(instruction="put the carrot in the bowl", timeout=12.5, dry_run=True, seed=3, trial_id="t1")
    assert handle.accepted
    answer = client.answer(handle.get_result_async())
    assert answer.status == GoalStatus.STATUS_SUCCEEDED
    assert answer.result.error_code == ExecuteTask.Result.ERROR_NONE
    assert answer.result.duration == 12.5
    client.until(lambda: len(client.feedback) == 3 and len(client.plans) == 3)
    assert [heard.plans for heard in client.feedback] == [1, 2, 3]
    assert client.feedback[-1].phase == ExecuteTask.Feedback.PHASE_MOVING
    plan = client.plans[-1]
    assert plan.instruction == "put the carrot in the bowl"
    assert [(entry.source, entry.reward) for entry in plan.candidates] == [("axes", 0.4), ("previous", 0.6)]
    assert {stage.stage: stage.duration for stage in plan.stages} == {"imagine": 0.08, "total": 0.1}

    request = LabelTrial.Request(trial_id="t1", outcome=LabelTrial.Request.OUTCOME_FAILURE, progress=40)
    labelled = client.answer(client.label.call_async(request))
    assert (labelled.success, labelled.message) == (True, "t1: 2, 40 %")

    handle = client.send(instruction="wait")
    result = handle.get_result_async()
    assert client.answer(handle.cancel_goal_async()).goals_canceling
    answer = client.answer(result)
    assert answer.status == GoalStatus.STATUS_CANCELED
    assert answer.result.error_code == ExecuteTask.Result.ERROR_CANCELLED


def test_defaults_and_numbered_codes() -> None:
    from vidplan_msgs.action import ExecuteTask
    from vidplan_msgs.msg import PlanStatus

    assert PlanStatus().chosen == -1
    assert PlanStatus().status == "confident"
    text = (PACKAGE / "action" / "ExecuteTask.action").read_text()
    codes = dict(re.findall(r"^uint16 (ERROR_\w+)=(\d+)", text, re.MULTILINE))
    assert len(set(codes.values())) == len(codes) > 10
    for name, value in codes.items():
        assert getattr(ExecuteTask.Result, name) == int(value)


def test_reason_codes_in_the_comments_are_the_guards() -> None:
    comments = (
        "".join(path.read_text() for path in PACKAGE.rglob("*.msg"))
        + (PACKAGE / "action" / "ExecuteTask.action").read_text()
    )
    named = {word for word in re.findall(r'e\.g\. "([a-z_]+)"', comments) if "_" in word}
    assert named
    assert named <= {reason.value for reason in Reason}
