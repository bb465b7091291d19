"""Raw subscriptions: a look at the graph, a recording of a trial, and a test of discovery."""

from __future__ import annotations

import contextlib
import importlib
import json
import logging
import threading
import time
from collections.abc import Callable, Collection
from pathlib import Path
from typing import Any

import rclpy
from rclpy.context import Context
from rclpy.executors import ExternalShutdownException, SingleThreadedExecutor
from rclpy.node import Node
from rclpy.parameter import Parameter
from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy
from rclpy.signals import SignalHandlerOptions
from std_msgs.msg import String

from robot_bridge.bags.recorded import picture_topics
from robot_bridge.errors import BridgeError
from robot_bridge.listening.look import Heard, Look

logger = logging.getLogger(__name__)

MEETING = (0.7, 2.5)
"""Seconds until the graph is taken as known, and until a topic that is looked for counts as absent.

Discovery takes up to 0.27 s on an idle machine.
"""
SLOW_CLOCK = 6.0
OPERATOR = "/vidplan/operator"
"""std_msgs/String, in recordings of `vidplan trial` only: what the operator did, as JSON."""


class _Listener:
    """A node in a context and thread of its own that takes messages as bytes."""

    def __init__(self, name: str, sim_time: bool) -> None:
        self.context = Context()
        rclpy.init(context=self.context, signal_handler_options=SignalHandlerOptions.NO)
        overrides = [Parameter("use_sim_time", value=True)] if sim_time else []
        self.node = Node(name, context=self.context, parameter_overrides=overrides)
        self._executor = SingleThreadedExecutor(context=self.context)
        self._executor.add_node(self.node)
        self._thread = threading.Thread(target=self._spin, name=name, daemon=True)
        self._thread.start()
        self.taken: dict[str, str] = {}

    def graph(self) -> dict[str, str]:
        """Topic -> type, of those that other nodes publish or listen to."""
        return {name: kinds[0] for name, kinds in self.node.get_topic_names_and_types() if kinds}

    def meet(self, wanted: Collection[str]) -> dict[str, str]:
        """The graph, once discovery has had its time."""
        time.sleep(MEETING[0])
        deadline = time.monotonic() + MEETING[1] - MEETING[0]
        while not set(wanted) <= set(self.graph()) and time.monotonic() < deadline:
            time.sleep(0.1)
        return self.graph()

    def take(self, topic: str, kind: str, sink: Callable[[str, bytes], None]) -> bool:
        """Subscribe with a quality of service that fits the publishers; False where the type is not installed."""
        package, _, name = kind.split("/")
        try:
            message = getattr(importlib.import_module(f"{package}.msg"), name)
        except (ImportError, AttributeError):
            return False
        infos = self.node.get_publishers_info_by_topic(topic)
        latched = bool(infos) and all(i.qos_profile.durability == DurabilityPolicy.TRANSIENT_LOCAL for i in infos)
        quality = QoSProfile(
            depth=100 if latched else 10,
            durability=DurabilityPolicy.TRANSIENT_LOCAL if latched else DurabilityPolicy.VOLATILE,
            reliability=ReliabilityPolicy.RELIABLE if latched else ReliabilityPolicy.BEST_EFFORT,
        )

        def hand_on(data: Any) -> None:
            sink(topic, bytes(data))

        self.node.create_subscription(message, topic, hand_on, quality, raw=True)
        self.taken[topic] = kind
        return True

    def now(self) -> int:
        """The robot's clock, ns."""
        return int(self.node.get_clock().now().nanoseconds)

    def wait(self, seconds: float) -> None:
        """Wait for the robot's clock, then let time go by on it."""
        begin, deadline = 0, time.monotonic() + max(SLOW_CLOCK * seconds, MEETING[1])
        while (not begin or self.now() - begin < seconds * 1e9) and time.monotonic() < deadline:
            begin = begin or self.now()  # a simulated clock stands at zero until it is heard
            time.sleep(0.05)

    def close(self) -> None:
        self._executor.shutdown(timeout_sec=1.0)
        self._thread.join(timeout=2.0)
        self.node.destroy_node()
        rclpy.try_shutdown(context=self.context)

    def _spin(self) -> None:
        with contextlib.suppress(ExternalShutdownException):
            self._executor.spin()


def listen(wanted: Collection[str], seconds: float, sim_time: bool = False, pictures_of_all: bool = False) -> Look:
    """Listen for a moment.

    Args:
        wanted: Topics to listen to; those that are not there are left out of `Look.heard`.
        seconds: How long on the robot's clock; a simulation that is slower gets up to `SLOW_CLOCK` times as long.
        sim_time: Whether the robot's clock is ``/clock``.
        pictures_of_all: Also take every other topic that carries colour pictures.
    """
    listener, heard, firsts = _Listener("vidplan_look", sim_time), dict[str, Heard](), dict[str, float]()

    def keep(topic: str, data: bytes) -> None:
        received = listener.now() / 1e9
        heard[topic].keep(topic, data, received, firsts.setdefault(topic, received))

    try:
        topics = listener.meet(wanted)
        listener.wait(0.0)  # before simulated time has been heard, rates and delays would be nonsense
        images = picture_topics(topics)
        subscribers = {name: listener.node.count_subscribers(name) for name in topics}
        for topic in dict.fromkeys([*wanted, *(images if pictures_of_all else ())]):
            if topic in topics:
                heard[topic] = Heard(topics[topic])
                listener.take(topic, topics[topic], keep)
        listener.wait(seconds)
    finally:
        listener.close()
    for each in heard.values():
        each.finish()
    return Look(topics, subscribers, heard, seconds)


def controllers(manager: str = "/controller_manager", patience: float = 2.0) -> dict[str, str] | None:
    """Controller -> state (``active``, ``inactive``, ...); None where nobody answers or the messages are not here."""
    try:
        kind = importlib.import_module("controller_manager_msgs.srv").ListControllers
    except ImportError:
        return None
    listener = _Listener("vidplan_controllers", False)
    try:
        client = listener.node.create_client(kind, f"{manager}/list_controllers")
        if not client.wait_for_service(timeout_sec=patience):
            return None
        answered, future = threading.Event(), client.call_async(kind.Request())
        future.add_done_callback(lambda _: answered.set())
        if not answered.wait(patience):
            return None
        return {each.name: each.state for each in future.result().controller}
    finally:
        listener.close()


def discovery(patience: float = 5.0) -> float | None:
    """Seconds until two ROS programs on this machine hear each other; None where they do not."""
    one, other = _Listener("vidplan_discovery_a", False), _Listener("vidplan_discovery_b", False)
    arrived = threading.Event()
    try:
        topic = f"/vidplan_discovery_{time.time_ns()}"
        other.node.create_subscription(String, topic, lambda message: arrived.set(), 1)
        publisher, began = one.node.create_publisher(String, topic, 1), time.monotonic()
        while time.monotonic() - began < patience:
            publisher.publish(String(data="hello"))
            if arrived.wait(0.02):
                return time.monotonic() - began
        return None
    finally:
        one.close()
        other.close()


class BagRecorder:
    """Records topics into an MCAP bag as they appear, from creation until `close`.

    The file grows a megabyte at a time, so that a crash loses its end, not the trial. Types that are not of a
    standard installation are left out and named in ``left_out``.

    Attributes:
        left_out: Topics that cannot be recorded.
        count: Messages so far.
        trouble: Why it could not be written to its end; empty where it could.

    Raises:
        BridgeError: The bag cannot be written.
    """

    def __init__(self, path: Path, wanted: Collection[str], sim_time: bool = False) -> None:
        """Begin.

        Args:
            path: Folder of the bag; must not exist.
            wanted: Topics; one may appear later.
            sim_time: Whether times of receipt are those of ``/clock``.
        """
        from rosbags.rosbag2 import StoragePlugin, Writer
        from rosbags.rosbag2.errors import WriterError

        from robot_bridge.bags.recorded import typestore

        self._store, self._connections = typestore(), dict[str, Any]()
        self._lock, self._ended = threading.Lock(), threading.Event()
        self.left_out, self.count, self.trouble, self._path = list[str](), 0, "", path
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._writer = Writer(path, version=9, storage_plugin=StoragePlugin.MCAP)
            self._writer.open()
        except (OSError, WriterError) as error:
            raise BridgeError(f"cannot record into {path}: {error}") from error
        self._wanted = set(wanted)
        self._listener = _Listener("vidplan_recorder", sim_time)
        self._listener.wait(0.0)
        self._watcher = threading.Thread(target=self._watch, name="bag-recorder", daemon=True)
        self._watcher.start()

    def note(self, what: str, **fields: Any) -> None:
        """Record something that the operator did."""
        self.say(OPERATOR, json.dumps({"event": what, "wall": round(time.time(), 3), **fields}))

    def say(self, topic: str, text: str) -> None:
        """Record a text that nobody published, e.g. the instruction."""
        self._write(topic, "std_msgs/msg/String", _cdr(String(data=text)))

    def close(self) -> None:
        """Finish the bag."""
        if self._ended.is_set():
            return
        self._ended.set()
        self._watcher.join()
        self._listener.close()
        with self._lock:
            try:
                self._writer.close()
            except OSError as error:
                self._fail(error)

    def _watch(self) -> None:
        """Subscribe to what appears."""
        while True:
            for topic, kind in self._listener.graph().items():
                if topic not in self._wanted or topic in self._listener.taken or topic in self.left_out:
                    continue
                if kind not in self._store.fielddefs or not self._listener.take(topic, kind, self._take):
                    self.left_out.append(topic)
            if self._ended.wait(0.2):
                return

    def _take(self, topic: str, data: bytes) -> None:
        self._write(topic, self._listener.taken[topic], data)

    def _write(self, topic: str, kind: str, data: bytes) -> None:
        with self._lock:
            if self.trouble:
                return
            try:
                if topic not in self._connections:
                    self._connections[topic] = self._writer.add_connection(topic, kind, typestore=self._store)
                self._writer.write(self._connections[topic], self._listener.now(), data)
                self.count += 1
            except OSError as error:
                self._fail(error)

    def _fail(self, error: OSError) -> None:
        """Say it once: a trial is worth its labels without its recording, too."""
        self.trouble = self.trouble or str(error)
        logger.error("the recording %s ends here: %s. Is the disk full?", self._path, error)


def _cdr(message: Any) -> bytes:
    from rclpy.serialization import serialize_message

    return bytes(serialize_message(message))
