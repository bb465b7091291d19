"""Do this robot and this planner fit together? Asked before any motion, answered in words."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from plan_protocol.errors import SpecMismatchError
from plan_protocol.messages import Plan, PlannerSpec, PlanRequest

# Resizing to another shape squeezes the picture; up to this ratio it is rounding to whole pixels.
ASPECT_TOLERANCE = 0.03


@dataclass(frozen=True)
class RobotOffer:
    """What a robot has and how it means its numbers.

    Attributes:
        robot_model: ``panda`` or ``fr3``.
        cameras: Role -> (height, width) in pixels of the image as it comes, or None while not yet known.
        pose_frame: Frame whose pose is commanded.
        base_frame: Frame the poses are expressed in.
        rotation: Rotation convention of a pose.
        length_unit: Unit of positions.
        angle_unit: Unit of angles.
        gripper: Meaning of the gripper number.
        frame_period: Seconds between the frames the robot's history keeps, if it is fixed.
    """

    robot_model: str
    cameras: Mapping[str, tuple[int, int] | None] = field(default_factory=dict)
    pose_frame: str = "link8"
    base_frame: str = "link0"
    rotation: str = "extrinsic_xyz_euler"
    length_unit: str = "m"
    angle_unit: str = "rad"
    gripper: str = "0_open_1_closed"
    frame_period: float | None = None


def spec_differences(spec: PlannerSpec, offer: RobotOffer) -> list[str]:
    """Everything in which planner and robot differ, each as one sentence; empty when they fit."""
    differences = []
    if offer.robot_model not in spec.robots:
        differences.append(
            f"robot model: this robot is a '{offer.robot_model}', the planner '{spec.model_name}' was made for "
            f"{', '.join(spec.robots)}"
        )
    for camera in spec.cameras:
        size = offer.cameras.get(camera.name)
        if camera.name not in offer.cameras:
            has = ", ".join(offer.cameras) or "none"
            differences.append(f"camera '{camera.name}': the planner needs it, the robot has {has}")
        elif size is not None:
            aspect, wanted = size[1] / size[0], camera.width / camera.height
            if abs(aspect / wanted - 1) > ASPECT_TOLERANCE:
                differences.append(
                    f"camera '{camera.name}': the robot's image is {size[1]}x{size[0]}, which cannot be resized to the "
                    f"planner's {camera.width}x{camera.height} without distortion"
                )
    for name in ("pose_frame", "base_frame", "rotation", "length_unit", "angle_unit", "gripper"):
        theirs, ours = getattr(spec, name), getattr(offer, name)
        if theirs != ours:
            differences.append(f"{name.replace('_', ' ')}: the planner uses '{theirs}', the robot '{ours}'")
    if offer.frame_period is not None and abs(offer.frame_period - spec.frame_period) > 1e-6:
        differences.append(
            f"frame period: the planner expects {spec.frame_period:g} s between frames, "
            f"the robot keeps {offer.frame_period:g} s"
        )
    return differences


def check_spec(spec: PlannerSpec, offer: RobotOffer) -> None:
    """Refuse a planner that does not fit the robot.

    Raises:
        SpecMismatchError: With all differences, if there is any.
    """
    differences = spec_differences(spec, offer)
    if differences:
        raise SpecMismatchError(
            f"planner '{spec.model_name}' and this robot do not fit: " + "; ".join(differences), tuple(differences)
        )


def check_request(spec: PlannerSpec, request: PlanRequest) -> None:
    """Refuse a request that is well formed but not what this planner takes.

    Raises:
        SpecMismatchError: If cameras, sizes, history or committed prefix are not the spec's.
    """
    sizes = {(camera.height, camera.width) for camera in spec.cameras}
    frames, cameras, height, width, _ = request.observation.images.shape
    wanted = (len(spec.history_offsets), len(spec.cameras))
    differences = []
    if (frames, cameras) != wanted or sizes != {(height, width)}:
        differences.append(
            f"images of {frames} frames, {cameras} cameras, {width}x{height} pixels came; the planner takes "
            f"{wanted[0]} frames (offsets {spec.history_offsets}), the cameras "
            + ", ".join(f"{camera.name} {camera.width}x{camera.height}" for camera in spec.cameras)
        )
    if len(request.committed) > spec.max_committed:
        differences.append(
            f"a committed prefix of {len(request.committed)} frames came, "
            f"the planner takes at most {spec.max_committed}"
        )
    if differences:
        raise SpecMismatchError("plan_request: " + "; ".join(differences), tuple(differences))


def check_plan(spec: PlannerSpec, request: PlanRequest, plan: Plan) -> None:
    """Refuse a plan that is not what the spec promises as the answer to this request.

    Raises:
        SpecMismatchError: If horizon or echo are wrong.
    """
    if plan.observation_stamp != request.observation_stamp:
        raise SpecMismatchError(
            f"plan: made for the observation at {plan.observation_stamp} s, asked for {request.observation_stamp} s"
        )
    if np.shape(plan.poses)[:1] != (spec.horizon,):
        raise SpecMismatchError(f"plan: poses of shape {np.shape(plan.poses)}, promised are {spec.horizon} poses")
