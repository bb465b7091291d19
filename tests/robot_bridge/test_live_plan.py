"""The plan to look at: path, markers, pictures, status; only what somebody looks at."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
import pytest

pytest.importorskip("nav_msgs", reason="ROS 2's messages are not installed: see `vidplan doctor`")

from plan_protocol.messages import Candidate, Imagination, Plan
from robot_bridge.config import BridgeConfig
from robot_bridge.events import event, plan_fields
from robot_bridge.ros.live_plan import LivePlan, filmstrip, quaternion
from robot_bridge.ros.plan_status import PlanStatuses
from robot_bridge.ros.topics import IMAGINED, MARKERS, PATH, UNCERTAINTY

POSES = np.array([[0.4 + 0.01 * k, 0.0, 0.4, np.pi, 0.0, 0.3, float(k > 2)] for k in range(5)])
FRAMES = np.random.default_rng(0).integers(0, 255, (5, 3, 16, 24, 3), np.uint8)
PLAN = Plan(
    observation_stamp=10.0,
    times=10.2 + 0.2 * np.arange(5),
    poses=POSES,
    candidates=(
        Candidate("+x", POSES, 0.5, 0.6, 0.1, 0.2, 0.8, 0.4),
        Candidate("-x", POSES, 0.2, 0.6, 0.1, 0.2, 0.8, 0.4),
    ),
    chosen=0,
    refined=True,
    objective=(0.1, 0.2),
    uncertainty=0.25,
    timings={"imagine": 80.0, "total": 100.0},
    imagination=Imagination(FRAMES, FRAMES, np.zeros((5, 3, 2, 3), np.float32)),
)


def told(**fields) -> dict:
    accepted = {"accepted": True, "age": 0.3, "guarded_times": PLAN.times.tolist(), "guarded_poses": POSES.tolist()}
    return event("plan", 10.3, **plan_fields(PLAN, 7, 70, 250.0), **(fields or accepted))


class Publisher:
    """Counts as looked at, or not."""

    def __init__(self, watched: bool) -> None:
        self.watched, self.sent = watched, []

    def get_subscription_count(self) -> int:
        return int(self.watched)

    def publish(self, message) -> None:
        self.sent.append(message)


def live(*watched: str) -> tuple[LivePlan, dict[str, Publisher]]:
    topics: dict[str, Publisher] = {}
    view = LivePlan(
        BridgeConfig(robot="fr3"), lambda kind, topic: topics.setdefault(topic, Publisher(topic in watched))
    )
    return view, topics


def test_nothing_is_made_that_nobody_looks_at():
    view, topics = live()
    view.show(told(), PLAN)
    assert not any(topic.sent for topic in topics.values())
    assert not view.frames_wanted
    assert live(UNCERTAINTY)[0].frames_wanted


def test_path_and_markers_are_where_the_arm_will_go():
    view, topics = live(PATH, MARKERS)
    view.show(told(), PLAN)
    (path,), (markers,) = topics[PATH].sent, topics[MARKERS].sent
    assert path.header.frame_id == "fr3_link0"
    assert (path.poses[1].pose.position.x, path.poses[1].header.stamp.nanosec) == (POSES[1, 0], 400_000_000)
    assert path.poses[0].pose.orientation.x == pytest.approx(np.cos(0.15))
    lines = {(marker.ns, marker.id): marker for marker in markers.markers[1:]}
    assert len(lines["chosen", 0].points) == 5
    assert (lines["chosen", 0].color.r, lines["chosen", 0].color.b) == (0.25, 0.75)
    assert lines["waypoints", 4].scale.x > lines["waypoints", 0].scale.x, "closed is drawn larger"
    assert ("candidates", 1) in lines
    assert markers.markers[0].action == 3, "what was there before is deleted"


def test_a_refused_plan_has_no_path_but_its_pictures():
    view, topics = live(PATH, IMAGINED)
    view.show(told(accepted=False, age=0.3), PLAN)
    assert not topics[PATH].sent
    (picture,) = topics[IMAGINED].sent
    decoded = cv2.imdecode(np.frombuffer(picture.data, np.uint8), cv2.IMREAD_COLOR)
    assert decoded.shape == (3 * 16, 5 * 24, 3)
    view.show(told(), replace(PLAN, imagination=None))
    assert len(topics[IMAGINED].sent) == 1


def test_the_filmstrip_has_a_row_per_camera():
    strip = filmstrip(FRAMES)
    assert (strip[16:32, 48:72] == FRAMES[2, 1]).all()


def test_a_quaternion_is_that_of_the_euler_angles():
    assert quaternion(np.zeros(7)) == (0.0, 0.0, 0.0, 1.0)


def test_status_carries_candidates_stages_and_why_it_was_refused(monkeypatch):
    pytest.importorskip("vidplan_msgs", reason="vidplan_msgs is not built: python ros2_ws/build_interfaces.py")
    monkeypatch.setenv("ROS_PYTHON_CHECK_FIELDS", "1")
    statuses = PlanStatuses.available("panda")
    status = statuses.message(told(), "wave")
    assert (status.plan, status.request_id, status.accepted, status.reason) == (7, 70, True, "")
    assert (status.latency, status.age, status.objective_after) == (0.25, 0.3, 0.2)
    assert [(entry.name, entry.reward) for entry in status.candidates] == [("+x", 0.5), ("-x", 0.2)]
    assert {stage.stage: stage.duration for stage in status.stages} == {"imagine": 0.08, "total": 0.1}
    refused = told(accepted=False, age=0.3, refused_for={"reason": "workspace", "detail": "60 mm outside"})
    assert statuses.message(refused, "wave").reason == "workspace"
    assert status.status == "confident"
    assert statuses.message(told(accepted=False, age=0.3) | {"status": "uncertain"}, "wave").status == "uncertain"
