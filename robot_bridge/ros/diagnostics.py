"""How the bridge is, for people and dashboards: cameras, joint states, server, controller, guard, watchdog."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

from robot_bridge.backends.recovery import IN_WORDS, Phase
from robot_bridge.core import Core
from robot_bridge.execution.states import State
from robot_bridge.sensing.arrivals import Arrivals

OK, WARN, ERROR, STALE = 0, 1, 2, 3
"""Levels of diagnostic_msgs/DiagnosticStatus."""
RATE_SLACK = 0.9
"""Share of the wanted camera rate that is still enough."""
NOTHING = "nothing came yet: is the driver running, is this its topic?"


@dataclass(frozen=True)
class Health:
    """One entry.

    Attributes:
        name: What it is about.
        level: OK, WARN, ERROR or STALE.
        message: In words.
        values: Figures as text.
    """

    name: str
    level: int
    message: str
    values: dict[str, str] = field(default_factory=dict)


def examine(core: Core | None, label: str, controllers: int | None) -> list[Health]:
    """Every entry.

    Args:
        core: The configured bridge, or None.
        label: Lifecycle state, e.g. ``active``.
        controllers: How many listen to the arm's commands; None where that cannot be told.
    """
    lifecycle = Health("lifecycle", OK if label == "active" else WARN, label)
    if core is None:
        return [lifecycle]
    cameras = [_camera(core, role, arrivals) for role, arrivals in core.intake.cameras.items()]
    return [
        lifecycle,
        *cameras,
        _joints(core),
        _server(core),
        _controller(core, controllers),
        _guard(core),
        _watchdog(core),
    ]


def _camera(core: Core, role: str, arrivals: Arrivals) -> Health:
    name, age = f"camera {role}", arrivals.age(core.now)
    spec = core.link.spec
    wanted = RATE_SLACK / spec.frame_period if spec else 0.0
    values = {
        "topic": core.config.camera_topics[role],
        "rate [Hz]": f"{arrivals.rate:.1f}",
        "age [s]": f"{age:.3f}",
        "size [px]": "{1}x{0}".format(*arrivals.shape) if arrivals.shape else "",
        "pictures": str(arrivals.count),
    }
    if math.isinf(age):
        return Health(name, STALE, NOTHING, values)
    if age > core.config.max_camera_age:
        return Health(name, ERROR, f"newest picture is {age:.2f} s old", values)
    if arrivals.count > 1 and arrivals.rate < wanted:
        return Health(name, WARN, f"{arrivals.rate:.1f} Hz; the planner wants {1 / spec.frame_period:g}", values)  # type: ignore[union-attr]
    return Health(name, OK, f"{arrivals.rate:.1f} Hz", values)


def _joints(core: Core) -> Health:
    arrivals, age = core.intake.joints, core.intake.joints.age(core.now)
    sample = core.perception.joints()
    values = {"topic": core.config.joint_topic, "rate [Hz]": f"{arrivals.rate:.1f}", "age [s]": f"{age:.3f}"}
    if sample is not None:  # those of the DROID NUC come with the backend
        age = core.now - sample.stamp
        values |= {"age [s]": f"{age:.3f}", "gripper": f"{sample.gripper:.2f}"}
    if math.isinf(age):
        return Health("joint states", STALE, NOTHING, values)
    level = ERROR if age > core.config.max_joint_age else OK
    return Health("joint states", level, f"newest is {age:.3f} s old", values)


def _server(core: Core) -> Health:
    executor, spec, plan = core.executor, core.link.spec, core.plan
    latencies = executor.latencies_ms
    stamp = executor.judge.followed_stamp
    values = {
        "address": core.config.server,
        "model": f"{spec.model_name} {spec.model_hash[:12]}" if spec else "",
        "plans": str(executor.plans),
        "latency [ms]": f"{latencies[-1]:.0f}" if latencies else "",
        "last plan age [s]": f"{core.now - stamp:.2f}" if stamp is not None else "",
        "uncertainty": f"{plan.uncertainty:.2f}" if plan else "",
    }
    if not core.link.ready:
        return Health("server", ERROR, "no planner, or it is being greeted", values)
    return Health("server", OK, f"{latencies[-1]:.0f} ms for the last plan" if latencies else "greeted", values)


def _controller(core: Core, controllers: int | None) -> Health:
    config, name = core.config, "controller"
    values = {
        "backend": "dry_run" if config.dry_run else config.backend,
        "gripper": "none" if config.dry_run else config.gripper,
        "topic": config.arm_topic,
        "listeners": "" if controllers is None else str(controllers),
    }
    if core.recovery is not None and core.recovery.phase is not Phase.READY:
        return Health(name, ERROR, IN_WORDS[core.recovery.phase], values)
    if config.dry_run:
        return Health(name, OK, "dry run: nothing is sent", values)
    if controllers == 0:
        return Health(name, ERROR, f"nobody listens to {config.arm_topic}: is its controller active?", values)
    return Health(name, OK, "commands are taken", values)


def _guard(core: Core) -> Health:
    executor = core.executor
    stop = executor.stop_latch.finding
    values = {
        "state": executor.state.value,
        "instruction": executor.instruction,
        **{f"refused {reason}": str(count) for reason, count in sorted(executor.rejected.items())},
    }
    if stop is not None:
        return Health("guard", ERROR, f"STOPPED ({stop.reason}): {stop.detail}", values)
    return Health("guard", OK, executor.state.value, values)


def _watchdog(core: Core) -> Health:
    """Whether the control loop runs, and whether it holds the arm for want of something."""
    executor, behind = core.executor, core.clock() - core.now
    values = {"holds": str(executor.holds), "last tick [s]": f"{behind:.3f}"}
    if behind > core.config.window:
        return Health("watchdog", ERROR, f"no control tick for {behind:.2f} s: the arm stops by itself", values)
    if executor.state is State.HOLDING:
        return Health("watchdog", WARN, f"holds the arm ({executor.hold_reason})", values)
    return Health("watchdog", OK, "control ticks come", values)
