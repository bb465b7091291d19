"""What each message looks like on the wire: its type name, the kind of every field, and what ties fields together.

This table is the protocol. `docs/protocol.md` describes it for people who write a client in another language.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np

from plan_protocol import limits
from plan_protocol.errors import ErrorCode, InvalidFieldError
from plan_protocol.fields import UNIT, Array, Flag, Integer, Kind, ListOf, MapOf, Maybe, Number, Struct, Text
from plan_protocol.messages import (
    PLAN_STATUS,
    CameraSpec,
    Cancel,
    Candidate,
    Done,
    ErrorReply,
    Hello,
    Imagination,
    Observation,
    Plan,
    PlannerSpec,
    PlanRequest,
    Progress,
    Reset,
    Status,
    StatusRequest,
)

NAME = Text(shortest=1)
CORNER = ListOf(Number(), 3, 3)
DEADLINE = Number(above=0.0, highest=limits.MAX_DEADLINE)
MILLISECONDS = Number(lowest=0.0)

_CAMERA = Struct(
    CameraSpec,
    {
        "name": NAME,
        "height": Integer(*limits.DIMENSIONS["height"]),
        "width": Integer(*limits.DIMENSIONS["width"]),
    },
)
_OBSERVATION = Struct(
    Observation,
    {
        "images": Array("uint8", "frames cameras height width 3"),
        "stamps": Array("float64", "frames", ordered="weak"),  # a robot that has just started repeats its first frame
        "poses": Array("float64", "frames 7"),
        "joints": Array("float64", "7"),
    },
)
_CANDIDATE = Struct(
    Candidate,
    {
        "name": NAME,
        "poses": Array("float64", "horizon 7"),
        "reward": Number(),
        "relevance": UNIT,
        "distance": Number(lowest=0.0),
        "uncertainty": UNIT,
        "weight": Number(lowest=0.0),
        "value": UNIT,
    },
)
_IMAGINATION = Struct(
    Imagination,
    {
        "frames": Array("uint8", "horizon cameras height width 3"),
        "composites": Array("uint8", "horizon cameras height width 3"),
        "uncertainty": Array("float32", "horizon cameras cells_high cells_wide"),
    },
)

# Fields that travel in the header instead of the body, so that a server can queue a request without opening it.
IN_HEADER = {PlanRequest: {"deadline": "deadline"}, Plan: {"observation_stamp": "stamp"}}

BODIES: dict[str, Struct] = {
    "hello": Struct(Hello, {"robot_model": NAME, "client_version": Text()}),
    "spec": Struct(
        PlannerSpec,
        {
            "model_name": NAME,
            "model_hash": Text(),
            "cameras": ListOf(_CAMERA, 1, limits.DIMENSIONS["cameras"][1]),
            "history_offsets": ListOf(Integer(-1000, 0), 1, limits.DIMENSIONS["frames"][1]),
            "frame_period": Number(above=0.0, highest=3600.0),
            "horizon": Integer(*limits.DIMENSIONS["horizon"]),
            "max_committed": Integer(*limits.DIMENSIONS["committed"]),
            "robots": ListOf(NAME, 1, limits.MAX_NOTES),
            "workspace_lower": CORNER,
            "workspace_upper": CORNER,
            "max_linear_speed": Number(above=0.0),
            "max_angular_speed": Number(above=0.0),
            "plan_latency": Number(lowest=0.0),
            # Free text here: what a robot does not share is for `spec_differences` to name, not for the codec.
            "pose_frame": Text(),
            "base_frame": Text(),
            "rotation": Text(),
            "length_unit": Text(),
            "angle_unit": Text(),
            "gripper": Text(),
        },
    ),
    "plan_request": Struct(
        PlanRequest,
        {
            "instruction": Text(limits.MAX_INSTRUCTION_BYTES),
            "observation": _OBSERVATION,
            "committed": Array("float64", "committed 7"),
            "start_joints": Array("float64", "7"),
            "frames_wanted": Flag(),
            "seed": Integer(),
        },
    ),
    "plan": Struct(
        Plan,
        {
            "times": Array("float64", "horizon", ordered="strict"),
            "poses": Array("float64", "horizon 7"),
            "candidates": ListOf(_CANDIDATE, 1, limits.MAX_CANDIDATES),
            "chosen": Integer(0, limits.MAX_CANDIDATES - 1),
            "refined": Flag(),
            "objective": ListOf(Number(), 2, 2),
            "uncertainty": UNIT,
            "proposers": MapOf(Text(limits.MAX_ERROR_BYTES)),
            "timings": MapOf(MILLISECONDS),
            "imagination": Maybe(_IMAGINATION),
            "status": Text(choices=PLAN_STATUS),
            "doubt": Text(limits.MAX_ERROR_BYTES),
        },
    ),
    "progress": Struct(Progress, {"stage": NAME, "fraction": UNIT}),
    "cancel": Struct(Cancel, {"request_id": Integer()}),
    "reset": Struct(Reset, {}),
    "status_request": Struct(StatusRequest, {}),
    "status": Struct(
        Status,
        {"busy": Flag(), "queued": Integer(), "plans": Integer(), "dropped": Integer(), "uptime": Number(lowest=0.0)},
    ),
    "done": Struct(Done, {}),
    "error": Struct(
        ErrorReply,
        {
            "code": Text(choices=tuple(code.value for code in ErrorCode)),
            "message": Text(limits.MAX_ERROR_BYTES),
            "retryable": Flag(),
        },
    ),
}
TYPE_NAMES: dict[type, str] = {body.type: name for name, body in BODIES.items()}

# The header's keys besides `arrays` and `body`, which the codec handles itself.
ENVELOPE: dict[str, Kind] = {
    "version": Integer(),
    "type": Text(choices=tuple(BODIES)),
    "robot": NAME,
    "session": NAME,
    "request": Integer(),
    "sequence": Integer(),
    "stamp": Maybe(Number()),
    "deadline": Maybe(DEADLINE),
}


def check_whole(message: Any) -> None:
    """Check what no single field can tell.

    Raises:
        InvalidFieldError: If fields of the message contradict each other.
    """
    if isinstance(message, Plan) and message.chosen >= len(message.candidates):
        raise InvalidFieldError(f"plan.chosen: {message.chosen}, but there are {len(message.candidates)} candidates")
    if isinstance(message, PlannerSpec):
        if not np.all(np.asarray(message.workspace_lower) < np.asarray(message.workspace_upper)):
            raise InvalidFieldError("spec.workspace_lower: must be below workspace_upper on every axis")
        offsets = message.history_offsets
        if offsets[-1] != 0 or any(a >= b for a, b in pairwise(offsets)):
            raise InvalidFieldError("spec.history_offsets: must increase and end with 0, the newest frame")
        names = [camera.name for camera in message.cameras]
        if len(set(names)) != len(names):
            raise InvalidFieldError(f"spec.cameras: a name occurs twice: {', '.join(names)}")
