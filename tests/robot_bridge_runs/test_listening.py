"""A look at a real ROS graph, and a recording of it."""

from __future__ import annotations

import array
import shutil
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

pytest.importorskip("rclpy", reason="needs ROS 2: a sourced installation, or the wheels of extra 'ros'")

import rclpy
from rclpy.context import Context
from rclpy.node import Node
from rclpy.qos import DurabilityPolicy, QoSProfile
from rosgraph_msgs.msg import Clock
from sensor_msgs.msg import Image
from std_msgs.msg import String

from robot_bridge.bags.bag import Bag
from robot_bridge.bags.recorded import decode
from robot_bridge.errors import BridgeError
from robot_bridge.isolation import isolated
from robot_bridge.listening.ros_edge import OPERATOR, BagRecorder, discovery, listen

pytestmark = pytest.mark.xdist_group("listening")


@pytest.fixture
def camera(monkeypatch: pytest.MonkeyPatch) -> Iterator[Node]:
    """A camera at about 20 Hz whose stamps are 0.5 s old, and a latched description."""
    for name, value in isolated().items():
        monkeypatch.setenv(name, value)
    context, ended = Context(), threading.Event()
    rclpy.init(context=context)
    node = Node("camera", context=context)
    latched = node.create_publisher(
        String, "/robot_description", QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)
    )
    latched.publish(String(data="<robot/>"))
    publisher = node.create_publisher(Image, "/front/image", 5)

    def run() -> None:
        picture = Image(height=40, width=60, encoding="bgr8", step=180, data=array.array("B", [0, 0, 200] * 2400))
        while not ended.wait(0.05):
            seconds, nanoseconds = divmod(node.get_clock().now().nanoseconds - 500_000_000, 10**9)
            picture.header.stamp.sec, picture.header.stamp.nanosec = seconds, nanoseconds
            publisher.publish(picture)

    thread = threading.Thread(target=run)
    thread.start()
    yield node
    ended.set()
    thread.join()
    node.destroy_node()
    rclpy.try_shutdown(context=context)


def test_a_look_tells_what_is_there(camera: Node) -> None:
    assert discovery() is not None
    look = listen(["/robot_description", "/absent"], 1.0, pictures_of_all=True)
    assert not look.empty
    assert look.image_topics == ["/front/image"]
    assert "/absent" not in look.heard
    assert look.heard["/robot_description"].last.data == "<robot/>", "latched messages from before are heard"
    heard = look.heard["/front/image"]
    assert heard.count >= 3
    assert heard.lag == pytest.approx(0.5, abs=0.3)
    ((_, picture),) = look.pictures(["/front/image"])
    assert picture is not None
    assert picture.shape == (40, 60, 3)
    assert picture[0, 0].tolist() == [200, 0, 0], "RGB"
    assert look.subscribers["/front/image"] == 0, "nobody but this look listens"


def test_rates_wait_for_simulated_time_to_begin(camera: Node) -> None:
    clock = camera.create_publisher(Clock, "/clock", 5)
    began = time.monotonic()

    def tell() -> None:
        late = time.monotonic() - began - 1.2  # after discovery has had its time
        if late > 0:
            message = Clock()
            message.clock.sec, message.clock.nanosec = divmod(int(1000e9 + late * 1e9), 10**9)
            clock.publish(message)

    teller = Repeating(tell)
    try:
        heard = listen(["/front/image"], 0.5, sim_time=True).heard["/front/image"]
    finally:
        teller.close()
    assert heard.count >= 2
    assert heard.seconds < 100.0, "the first picture came at 1000 s, not at 0"


class Repeating:
    """Calls something again and again."""

    def __init__(self, job: Callable[[], None]) -> None:
        self._ended = threading.Event()
        self._job = job
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def close(self) -> None:
        self._ended.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._ended.wait(0.01):
            self._job()


def test_a_recording_holds_everything_and_survives_a_crash(camera: Node, tmp_path: Path) -> None:
    recorder = BagRecorder(tmp_path / "bag", ["/front/image", "/robot_description"])
    recorder.say("/vidplan/instruction", "lift the pea")
    recorder.note("start", trial=3)
    deadline = time.monotonic() + 60
    while recorder.count < 200 and time.monotonic() < deadline:  # more than a chunk of a megabyte
        time.sleep(0.1)
    shutil.copytree(tmp_path / "bag", tmp_path / "crashed")
    recorder.note("stop")
    recorder.close()
    recorder.close()
    bag = Bag(tmp_path / "bag")
    assert sum(topic.count for topic in bag.topics.values()) == recorder.count
    assert {"/front/image", "/robot_description", "/vidplan/instruction", OPERATOR} == set(bag.topics)
    assert bag.instructions() == ["lift the pea"]
    said = [decode(message) for message in bag.recorded([OPERATOR])]
    assert ['"start"' in said[0].data, '"stop"' in said[1].data] == [True, True]
    crashed = Bag(tmp_path / "crashed")
    assert crashed.topics["/front/image"].count > 100, "what was written before a crash is there"
    with pytest.raises(BridgeError, match="cannot record"):
        BagRecorder(tmp_path / "bag", [])


def test_a_recording_on_a_full_disk_ends_and_the_trial_goes_on(tmp_path: Path, monkeypatch, caplog) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    recorder = BagRecorder(tmp_path / "bag", [])
    recorder.note("start")
    for name in ("write", "close"):
        monkeypatch.setattr(recorder._writer, name, full)
    recorder.note("stop")
    recorder.note("label")
    recorder.close()
    assert "No space left" in recorder.trouble
    assert recorder.count == 1
    assert all("bag ends here" in record.getMessage() for record in caplog.records)
    assert len(caplog.records) == 2, "once while it ran, once at its end"
