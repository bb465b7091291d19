"""What the bridge's parts need of rclpy itself: threads that spin, qualities of service, timers, the managed node."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from typing import Any, Protocol

from rclpy.clock import Clock, ClockType
from rclpy.context import Context
from rclpy.executors import ExternalShutdownException, SingleThreadedExecutor
from rclpy.lifecycle import LifecycleNode, LifecycleState, TransitionCallbackReturn
from rclpy.node import Node
from rclpy.parameter import Parameter
from rclpy.qos import DurabilityPolicy, QoSProfile, qos_profile_sensor_data

from robot_bridge.errors import BridgeError

SENSOR_QOS = qos_profile_sensor_data
LATCHED_QOS = QoSProfile(depth=100, durability=DurabilityPolicy.TRANSIENT_LOCAL)
NEWEST_QOS = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)

logger = logging.getLogger(__name__)


class Transitions(Protocol):
    """What the transitions of the managed node do. Each raises BridgeError where it is refused."""

    def configure(self) -> None: ...  # noqa: D102
    def activate(self) -> None: ...  # noqa: D102
    def deactivate(self) -> None: ...  # noqa: D102
    def cleanup(self) -> None: ...  # noqa: D102
    def shutdown(self) -> None: ...  # noqa: D102
    def release(self) -> None: ...  # noqa: D102
    def refused(self, transition: str, error: BridgeError) -> None: ...  # noqa: D102


class ManagedNode(LifecycleNode):
    """A lifecycle node whose transitions are plain methods.

    A refused transition leaves the node where it was. An unexpected error releases everything and leaves it
    unconfigured; shutting down always succeeds.

    Attributes:
        transitions: What they do; to be given before it spins.
    """

    transitions: Transitions

    @property
    def label(self) -> str:
        """The state's name, e.g. ``active``."""
        return str(self._state_machine.current_state[1])

    def on_configure(self, state: LifecycleState) -> TransitionCallbackReturn:
        """See `Transitions.configure`."""
        return self._do("configure", self.transitions.configure)

    def on_activate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """See `Transitions.activate`."""
        return self._do("activate", self.transitions.activate)

    def on_deactivate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """See `Transitions.deactivate`."""
        return self._do("deactivate", self.transitions.deactivate)

    def on_cleanup(self, state: LifecycleState) -> TransitionCallbackReturn:
        """See `Transitions.cleanup`."""
        return self._do("cleanup", self.transitions.cleanup)

    def on_shutdown(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Bring the arm to rest and let go of everything."""
        return self._do("shutdown", self.transitions.shutdown)

    def on_error(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Let go of everything; the node may be configured again."""
        return self._do("error", self.transitions.release)

    def _do(self, name: str, stage: Callable[[], None]) -> TransitionCallbackReturn:
        try:
            stage()
        except BridgeError as error:
            self.transitions.refused(name, error)
            return TransitionCallbackReturn.FAILURE
        except Exception:
            logger.exception("the transition '%s' failed", name)
            return TransitionCallbackReturn.ERROR
        return TransitionCallbackReturn.SUCCESS


class Spinner:
    """A node, its executor and its thread. A callback that raises is logged and does not end the thread.

    Attributes:
        node: The node.
        closing: `close` was called.
    """

    def __init__(self, node: Node, context: Context) -> None:
        self.node = node
        self._executor = SingleThreadedExecutor(context=context)
        self._executor.add_node(node)
        self.closing = False
        self._thread = threading.Thread(target=self._spin, name=node.get_name(), daemon=True)

    def start(self) -> None:
        """Begin to spin."""
        self._thread.start()

    @property
    def running(self) -> bool:
        """The thread spins."""
        return self._thread.is_alive()

    def close(self) -> None:
        """End the thread and destroy the node."""
        self.closing = True
        self._executor.shutdown(timeout_sec=1.0)
        if self._thread.is_alive() and self._thread is not threading.current_thread():
            self._thread.join(timeout=2.0)
        self.node.destroy_node()

    def _spin(self) -> None:
        while not self.closing and self.node.context.ok():
            try:
                self._executor.spin()
                return
            except ExternalShutdownException:
                logger.info("ROS was shut down from outside")
                return
            except Exception:
                if self.closing:  # the executor was shut down under a callback: nobody's mistake
                    return
                logger.exception("a callback of %s failed", self.node.get_name())


def plain_node(name: str, context: Context, sim_time: bool) -> Node:
    """A node of ours beside the managed one."""
    return Node(name, context=context, parameter_overrides=sim_time_override(sim_time))


def sim_time_override(sim_time: bool) -> list[Parameter]:
    """The time's source as a parameter; without it the command line decides."""
    return [Parameter("use_sim_time", value=True)] if sim_time else []


def steady_timer(node: Node, period: float, callback: Callable[[], None]) -> Any:
    """A timer of the wall clock, whatever the robot's clock does."""
    return node.create_timer(period, callback, clock=Clock(clock_type=ClockType.STEADY_TIME))
