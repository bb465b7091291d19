"""The messages of the planner protocol, as frozen dataclasses.

They are the whole vocabulary between a robot bridge and a planner server. The codec (`codec.py`) turns them into
ZeroMQ frames and back and checks every field; this file says what the fields mean. Conventions, fixed for every
message:

* A *pose* is ``[x, y, z, roll, pitch, yaw, gripper]``: metres and radians (extrinsic xyz) of the arm's flange
  (``link8``) in the robot base frame; gripper 0 = open, 1 = closed.
* A *stamp* or *time* is in seconds on the **robot's** clock (ROS time; simulated time in simulation). Deadlines and
  timings are durations, so the two machines' clocks are never compared.
* Images are ``uint8`` RGB, row-major, one entry per camera in the order of `PlannerSpec.cameras`.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

PROTOCOL_VERSION = 3
POSE_SIZE = 7
ARM_JOINTS = 7
PLAN_STATUS = ("confident", "uncertain")


@dataclass(frozen=True)
class CameraSpec:
    """One camera the planner wants to see.

    Attributes:
        name: The role, one of ``left``, ``right``, ``wrist`` for a DROID cell.
        height: Rows in pixels.
        width: Columns in pixels.
    """

    name: str
    height: int
    width: int


@dataclass(frozen=True)
class PlannerSpec:
    """What a planner server expects and promises; the answer to `Hello`, to be verified before any motion.

    Attributes:
        model_name: Name of the loaded bundle.
        model_hash: SHA-256 of its weights, hexadecimal.
        cameras: Cameras in the order in which their images must be stacked.
        history_offsets: Frames wanted in a request, as offsets from the newest one, oldest first, e.g. ``(-1, 0)``.
        frame_period: Seconds between two video frames (0.2 for DROID's 5 Hz).
        horizon: Poses in a returned chunk, one per video frame.
        max_committed: Longest committed prefix a request may carry, in frames.
        pose_frame: Frame whose pose is commanded, always ``link8``.
        base_frame: Frame the poses are expressed in, always ``link0``.
        rotation: Always ``extrinsic_xyz_euler``.
        length_unit: Always ``m``.
        angle_unit: Always ``rad``.
        gripper: Always ``0_open_1_closed``.
        robots: Robot models the bundle was made for, e.g. ``("panda", "fr3")``.
        workspace_lower: Lower corner of the box the plans stay in, metres, base frame.
        workspace_upper: Upper corner of that box.
        max_linear_speed: Highest flange speed in a plan, m/s.
        max_angular_speed: Highest flange angular speed in a plan, rad/s.
        plan_latency: Median seconds per plan measured by the server at start-up.
    """

    model_name: str
    model_hash: str
    cameras: tuple[CameraSpec, ...]
    history_offsets: tuple[int, ...]
    frame_period: float
    horizon: int
    max_committed: int
    robots: tuple[str, ...]
    workspace_lower: tuple[float, float, float]
    workspace_upper: tuple[float, float, float]
    max_linear_speed: float
    max_angular_speed: float
    plan_latency: float
    pose_frame: str = "link8"
    base_frame: str = "link0"
    rotation: str = "extrinsic_xyz_euler"
    length_unit: str = "m"
    angle_unit: str = "rad"
    gripper: str = "0_open_1_closed"


@dataclass(frozen=True)
class Hello:
    """First message of a client: who it is. Answered by `PlannerSpec`."""

    robot_model: str
    client_version: str


@dataclass(frozen=True)
class Observation:
    """What the robot saw and felt at the history frames, oldest first.

    Attributes:
        images: ``(T, C, H, W, 3)`` uint8 RGB; T = len(history_offsets), C cameras in the spec's order.
        stamps: ``(T,)`` float64, seconds on the robot's clock.
        poses: ``(T, 7)`` float64, measured flange pose and gripper at each frame.
        joints: ``(7,)`` float64, measured arm joints at the newest frame, radians.
    """

    images: np.ndarray
    stamps: np.ndarray
    poses: np.ndarray
    joints: np.ndarray


@dataclass(frozen=True)
class PlanRequest:
    """Ask for the next chunk.

    Attributes:
        instruction: The task in words, e.g. ``put the carrot in the bowl``.
        observation: See `Observation`.
        committed: ``(P, 7)`` float64 poses already promised to the arm for the P frames after the newest observation
            (P may be 0). The planner freezes them and plans what comes after (``facts``: plan while executing).
        start_joints: ``(7,)`` float64, joints the arm will have when the returned chunk begins, radians.
        deadline: Seconds after which the answer is useless; the server drops a request that waited longer.
        frames_wanted: Also return the imagined frames of the chosen chunk.
        seed: Seed of every random draw for this plan.
    """

    instruction: str
    observation: Observation
    committed: np.ndarray
    start_joints: np.ndarray
    deadline: float
    frames_wanted: bool = False
    seed: int = 0

    @property
    def observation_stamp(self) -> float:
        """Stamp of the newest frame, seconds on the robot's clock."""
        return float(self.observation.stamps[-1])


@dataclass(frozen=True)
class Candidate:
    """One proposed chunk and what the planner thought of it.

    Attributes:
        name: Human-readable origin, e.g. ``+x``, ``-z close``, ``previous``.
        poses: ``(H, 7)`` float64.
        reward: What the arg max is over: the uncertainty-weighted reward w(h) (r_s - lambda d), maximum over the
            frames, plus the weighted expected return mu w(h) E[V].
        relevance: The semantic part r_s at that frame, in [0, 1].
        distance: The centring part d(c, c_r) at that frame, in image widths.
        uncertainty: Mean normalised uncertainty h of the imagined frames, in [0, 1].
        weight: The weight w(h) applied.
        value: Mean expected return E[V] of the spatio-temporal reward head over the frames, in [0, 1].
    """

    name: str
    poses: np.ndarray
    reward: float
    relevance: float
    distance: float
    uncertainty: float
    weight: float
    value: float


@dataclass(frozen=True)
class Imagination:
    """The imagined video of the chosen chunk, for people.

    Attributes:
        frames: ``(H, C, h, w, 3)`` uint8 RGB.
        composites: ``(H, C, h, w, 3)`` uint8, the frames with the uncertainty heatmap on top (blue sure, red unsure).
        uncertainty: ``(H, C, a, b)`` float32 in [0, 1], on the latent grid.
    """

    frames: np.ndarray
    composites: np.ndarray
    uncertainty: np.ndarray


@dataclass(frozen=True)
class Plan:
    """The answer to a `PlanRequest`.

    Attributes:
        observation_stamp: Echo of the newest observation's stamp; a client drops an answer to another observation.
        times: ``(H,)`` float64, absolute times of the poses on the robot's clock.
        poses: ``(H, 7)`` float64.
        candidates: All candidates of the global planner, in order.
        chosen: Index of the global winner.
        refined: True where the local planner's chunk differs from the global winner's.
        objective: The local planner's objective J, summed over the frames, before and after refinement.
        uncertainty: Mean normalised uncertainty of the returned chunk, in [0, 1].
        proposers: Note per proposer, e.g. why one was skipped.
        timings: Stage -> milliseconds (``queue``, ``decode``, ``encode_frames``, ``propose``, ``imagine``, ``score``,
            ``refine``, ``render``, ``total``).
        imagination: Present when frames were wanted.
        status: ``confident``, or ``uncertain``: no candidate's future can be trusted. The chunk explores; a robot
            should follow it slowly, and not for long without asking a person.
        doubt: Why it is uncertain, for people; empty for a confident plan.
    """

    observation_stamp: float
    times: np.ndarray
    poses: np.ndarray
    candidates: tuple[Candidate, ...]
    chosen: int
    refined: bool
    objective: tuple[float, float]
    uncertainty: float
    proposers: dict[str, str] = field(default_factory=dict)
    timings: dict[str, float] = field(default_factory=dict)
    imagination: Imagination | None = None
    status: str = "confident"
    doubt: str = ""


@dataclass(frozen=True)
class Progress:
    """Where a running plan is: sent while the model works, to the request's owner.

    Attributes:
        stage: Name of the stage that has begun, a key of `Plan.timings`.
        fraction: Rough share of the work done, in [0, 1].
    """

    stage: str
    fraction: float


@dataclass(frozen=True)
class Cancel:
    """Drop the request with this id, queued or running. Answered by `Done`."""

    request_id: int


@dataclass(frozen=True)
class Reset:
    """Forget the previous plan of this robot (a new task begins). Answered by `Done`."""


@dataclass(frozen=True)
class StatusRequest:
    """Heartbeat. Answered at once by `Status`, also while a plan is being made."""


@dataclass(frozen=True)
class Status:
    """The server's state.

    Attributes:
        busy: A plan is being made.
        queued: Requests waiting.
        plans: Plans answered since start.
        dropped: Requests superseded by a newer observation, expired or cancelled since start.
        uptime: Seconds since start.
    """

    busy: bool
    queued: int
    plans: int
    dropped: int
    uptime: float


@dataclass(frozen=True)
class Done:
    """Plain acknowledgement."""


@dataclass(frozen=True)
class ErrorReply:
    """A request could not be answered.

    Attributes:
        code: One of `errors.ErrorCode`, as text.
        message: What was wrong, where, and what to do.
        retryable: The same request may succeed later.
    """

    code: str
    message: str
    retryable: bool


Message = (
    Hello | PlannerSpec | PlanRequest | Plan | Progress | Cancel | Reset | StatusRequest | Status | Done | ErrorReply
)
