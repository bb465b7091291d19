"""Every setting of the bridge: one frozen dataclass, checked as a whole, filled by command line or ROS parameters.

The help text and the allowed range of a setting live in its field's metadata; `cli` makes its options and `parameters`
makes the node's ROS parameters (with descriptors) from them, so the three never disagree.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any

from robot_bridge.backends.names import ARMS, GRIPPERS, RECOVERIES
from robot_bridge.errors import ConfigError
from robot_bridge.setting import box, checked, choice, flag, name, number, text
from robot_bridge.setting_entries import camera_topics, keep_out_boxes
from robot_model.conventions import CONTROL_PERIOD
from robot_model.errors import UnknownRobotError
from robot_model.franka import franka
from robot_model.ros_names import CAMERAS, GRIPPER_COMMANDS, JOINT_STATES, arm_topic, camera_topic
from robot_model.shapes import KeepOut


@dataclass(frozen=True)
class BridgeConfig:
    """Settings of the bridge. Lengths in metres, angles in radians, times in seconds of the robot's clock.

    Raises:
        ConfigError: A value is out of its range or contradicts another one.
    """

    instruction: str = text("", "the task in words; empty: wait for one on /vidplan/instruction")
    server: str = text("tcp://127.0.0.1:5555", "address of the planner server (vidplan serve)")
    curve_keys: str = text("", "this robot's folder of `vidplan keys`: encrypt, for a server on another machine")
    robot: str = text("panda", "arm model: panda or fr3")
    robot_id: str = text("robot", "name of this robot at the server; two robots must not share one")
    cameras: tuple[str, ...] = field(
        default=tuple(f"{name}={camera_topic(name)}" for name in CAMERAS),
        metadata={"help": "camera topics as ROLE=TOPIC; a topic that ends in /compressed carries CompressedImage"},
    )
    joint_topic: str = name(JOINT_STATES, "topic of the joint states (arm, and the gripper's knuckle)")
    backend: str = choice("joint_trajectory", ARMS, "way to the arm")
    gripper: str = choice("robotiq_forward", GRIPPERS, "way to the gripper")
    arm_command_topic: str = name("", "topic or action for the arm; empty: the stock controller's for this backend")
    gripper_command_topic: str = name(GRIPPER_COMMANDS, "topic for the gripper's knuckle angle")
    gripper_action: str = name("", "action of the gripper, for the Franka Hand its prefix; empty: the driver's own")
    recovery: str = choice("auto", RECOVERIES, "how the arm is brought back after a reflex or a user stop")
    driver_namespace: str = name("", "namespace of the arm's driver, for the recovery")
    nuc: str = text("tcp://172.16.0.3:4242", "address of the DROID NUC")
    autostart: bool = flag(
        "configure and activate at once; otherwise wait for the transitions of a lifecycle manager", default=True
    )
    use_sim_time: bool = flag("take the time from /clock (simulation, bags)")
    dry_run: bool = flag("compute, guard and record every command, send none")
    record: str = text("", "directory for the run's record; empty: keep none")
    duration: float = number(0.0, 0.0, 86400.0, "s", "time after which the bridge ends; 0: run until interrupted")
    seed: int = field(default=0, metadata={"help": "seed of the planner's random draws", "low": 0, "high": 2**31 - 1})
    frames_wanted: bool = field(
        default=False, metadata={"help": "also ask for the imagined frames (always when recording)"}
    )

    connect_timeout: float = number(
        10.0, 0.5, 600.0, "s", "how long configuring waits for the planner's greeting (autostart tries again)"
    )
    server_silence: float = number(
        0.08,
        0.02,
        5.0,
        "s",
        "age of an unanswered ping at which the planner is lost; simulated at least 0.5, dry run 2",
    )
    task_patience: float = number(
        30.0, 1.0, 600.0, "s", "time without an accepted plan after which the action ExecuteTask gives up"
    )
    uncertain_speed: float = number(
        0.4, 0.05, 1.0, "", "share of its speed at which a plan is followed that says that it is uncertain"
    )
    uncertain_plans: float = number(
        6.0, 0.0, 1000.0, "", "uncertain plans in a row that are followed before the arm holds and asks the operator"
    )
    uncertain_seconds: float = number(
        15.0, 0.0, 600.0, "s", "time after the first of them until which they are followed"
    )
    control_rate: float = number(round(1 / CONTROL_PERIOD, 9), 5.0, 100.0, "Hz", "commands per second")
    command_rate: float = number(200.0, 100.0, 1000.0, "Hz", "positions per second of the backend forward_position")
    realtime_priority: int = field(
        default=0,
        metadata={
            "help": "priority of the bridge's threads among real-time ones (SCHED_RR); 0: none is asked for",
            "low": 0,
            "high": 49,
        },
    )
    window: float = number(0.2, 0.1, 0.5, "s", "motion sent ahead; its braking tail comes on top")
    stop_time: float = number(0.2, 0.05, 0.5, "s", "time in which the arm can always be stopped; bounds its speed")
    latency_margin: float = number(
        0.05, 0.0, 5.0, "s", "added to the measured latency: when the next chunk may take over"
    )
    request_timeout: float = number(30.0, 0.5, 600.0, "s", "age at which a request is given up")
    retry_pause: float = number(0.3, 0.0, 10.0, "s", "wait after a refused or failed plan")

    sync_tolerance: float = number(
        0.07, 0.001, 0.5, "s", "largest spread of stamps within one set of frames and joints"
    )
    max_camera_age: float = number(0.5, 0.02, 5.0, "s", "oldest frame of a camera that may be planned on")
    max_camera_skew: float = number(0.07, 0.001, 0.5, "s", "largest spread of the three cameras' stamps")
    max_joint_age: float = number(0.25, 0.01, 5.0, "s", "oldest joint state while moving")
    max_plan_age: float = number(15.0, 0.5, 600.0, "s", "oldest observation a plan may rest on when its motion begins")
    late_tolerance: float = number(0.1, 0.0, 0.5, "s", "how far a plan may begin in the past while the arm moves")

    workspace_lower: tuple[float, float, float] = box((0.15, -0.6, 0.165), "lower corner of the flange's box")
    workspace_upper: tuple[float, float, float] = box((0.85, 0.6, 0.9), "upper corner of the flange's box")
    workspace_slack: float = number(0.05, 0.0, 0.3, "m", "poses outside by less are moved inside, others refused")
    max_linear_speed: float = number(0.25, 0.01, 1.0, "m/s", "fastest flange motion between two waypoints")
    max_angular_speed: float = number(1.0, 0.05, 3.0, "rad/s", "fastest flange rotation between two waypoints")
    max_step_excess: float = number(
        3.0, 1.0, 10.0, "", "steps up to this many times too long are shortened, others refused"
    )
    max_first_distance: float = number(
        0.12, 0.01, 0.5, "m", "first waypoint's largest distance from the commanded pose"
    )
    max_first_angle: float = number(0.5, 0.05, 1.5, "rad", "first waypoint's largest angle from the commanded pose")
    max_ik_position: float = number(0.005, 1e-4, 0.05, "m", "largest position residual of inverse kinematics")
    max_ik_rotation: float = number(0.05, 1e-3, 0.5, "rad", "largest rotation residual of inverse kinematics")
    condition_slow: float = number(
        17.0, 5.0, 1000.0, "", "condition number of the Jacobian above which the arm slows down"
    )
    condition_stop: float = number(30.0, 6.0, 2000.0, "", "condition number of the Jacobian at which it stops")
    joint_margin: float = number(0.1, 0.0, 0.5, "rad", "distance kept from the joints' end stops")
    self_margin: float = number(0.01, 0.0, 0.1, "m", "distance kept between parts of the robot")
    scene_margin: float = number(0.005, 0.0, 0.2, "m", "distance kept from table and boxes, fingertips apart")
    tip_clearance: float = number(
        -0.005, -0.03, 0.1, "m", "the same for the fingertips, reckoned closed: open they are 13 mm shorter"
    )
    table_height: float = number(0.0, -2.0, 1.0, "m", "height of the table's top in the arm's base frame")
    keep_out: str = text(
        "", "boxes that must stay free, 'x,y,z,sx,sy,sz; ...': centre and edge lengths in the arm's base frame"
    )
    velocity_scale: float = number(0.5, 0.02, 1.0, "", "share of the arm's velocity limits used")
    acceleration_scale: float = number(0.5, 0.02, 1.0, "", "share of the arm's acceleration limits used")
    max_tracking_error: float = number(
        0.25, 0.02, 1.0, "rad", "largest joint distance between commanded and measured arm"
    )
    anchor_tolerance: float = number(
        0.05, 0.005, 0.5, "rad", "joint distance at rest above which the measured arm is taken over"
    )

    gripper_close_above: float = number(0.6, 0.05, 0.95, "", "the gripper closes when a plan's value rises above")
    gripper_open_below: float = number(0.4, 0.05, 0.95, "", "the gripper opens when a plan's value falls below")
    gripper_interval: float = number(0.8, 0.0, 5.0, "s", "shortest time between two gripper goals")

    def __post_init__(self) -> None:
        self._check_each()
        if self.backend == "dry_run":
            object.__setattr__(self, "dry_run", True)
        try:
            franka(self.robot)
        except UnknownRobotError as error:
            raise ConfigError("robot", str(error)) from error
        self._check_pairs()
        _ = self.camera_topics, self.keep_out_boxes  # texts that cannot be read are refused here

    @property
    def camera_topics(self) -> dict[str, str]:
        """Camera role -> topic."""
        return camera_topics("cameras", self.cameras)

    @property
    def keep_out_boxes(self) -> tuple[KeepOut, ...]:
        """The boxes of ``keep_out``, named by their number."""
        return keep_out_boxes("keep_out", self.keep_out)

    @property
    def arm_topic(self) -> str:
        """Topic or action of the arm's commands."""
        if self.arm_command_topic:
            return self.arm_command_topic
        if self.backend == "follow_joint_trajectory":
            return f"/{self.robot}_arm_controller/follow_joint_trajectory"
        if self.backend == "forward_position":
            return f"/{self.robot}_forward_position_controller/commands"
        return arm_topic(self.robot)

    @property
    def gripper_shape(self) -> str:
        """Which gripper's shape is kept clear of things, see `robot_model.shapes`."""
        return "franka_hand" if self.gripper == "franka_hand" else "robotiq"

    @property
    def control_period(self) -> float:
        """Seconds between two commands."""
        return 1.0 / self.control_rate

    @property
    def node_period(self) -> float:
        """Seconds between two nodes of the commanded motion, where it is judged: commands may come more often."""
        return max(self.control_period, CONTROL_PERIOD)

    def _check_each(self) -> None:
        """Every setting on its own; all that are wrong are named at once."""
        wrong: list[ConfigError] = []
        for item in fields(self):
            try:
                value = checked(item.name, getattr(self, item.name), item.default, item.metadata)
            except ConfigError as error:
                wrong.append(error)
            else:
                object.__setattr__(self, item.name, value)
        if wrong:
            first, *others = wrong
            raise ConfigError(first.field, "; ".join([first.message, *map(str, others)]))

    def _check_pairs(self) -> None:
        if any(low >= high for low, high in zip(self.workspace_lower, self.workspace_upper, strict=True)):
            raise ConfigError("workspace_lower", f"must be below workspace_upper {self.workspace_upper} on every axis")
        if self.condition_slow >= self.condition_stop:
            raise ConfigError("condition_slow", f"must be below condition_stop ({self.condition_stop:g})")
        if self.gripper_open_below >= self.gripper_close_above:
            raise ConfigError("gripper_open_below", f"must be below gripper_close_above ({self.gripper_close_above:g})")
        if (self.gripper == "droid_nuc") != (self.backend == "droid_nuc") and self.gripper != "none":
            raise ConfigError("gripper", "droid_nuc goes with the backend droid_nuc, and that with no other gripper")
        if self.backend == "sim" and not self.use_sim_time:
            raise ConfigError("backend", "sim runs on simulated time only: add --use-sim-time")
        if self.stop_time < 2 * self.node_period:
            raise ConfigError("stop_time", f"must hold two periods between nodes of {self.node_period:.3f} s")

    @classmethod
    def from_mapping(cls, values: Mapping[str, Any]) -> BridgeConfig:
        """Config from names and values, as a parameter file has them.

        Raises:
            ConfigError: A name is unknown or a value cannot be used.
        """
        known = {item.name for item in fields(cls)}
        for given in values:
            if given not in known:
                raise ConfigError(given, f"is not a setting of the bridge; known: {', '.join(sorted(known))}")
        return cls(**values)
