"""One valid message of every type, and hypothesis strategies for random ones."""

from __future__ import annotations

import numpy as np
from hypothesis import strategies as st

from plan_protocol.messages import (
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


def spec(**changes) -> PlannerSpec:
    values = {
        "model_name": "tabletop",
        "model_hash": "ab" * 32,
        "cameras": tuple(CameraSpec(name, 12, 20) for name in ("left", "right", "wrist")),
        "history_offsets": (-1, 0),
        "frame_period": 0.2,
        "horizon": 5,
        "max_committed": 10,
        "robots": ("panda", "fr3"),
        "workspace_lower": (0.2, -0.5, 0.0),
        "workspace_upper": (0.8, 0.5, 0.7),
        "max_linear_speed": 0.25,
        "max_angular_speed": 1.0,
        "plan_latency": 0.4,
    }
    return PlannerSpec(**{**values, **changes})


def request(
    stamp: float = 12.4, *, committed_frames: int = 2, size: tuple[int, int] = (12, 20), **changes
) -> PlanRequest:
    """A plan request for `spec()`; the images are random, smooth enough to survive JPEG."""
    random = np.random.default_rng(committed_frames)
    coarse = random.integers(0, 256, (2, 3, 2, 2, 3), dtype=np.uint8)
    images = coarse.repeat(size[0] // 2, axis=2).repeat(size[1] // 2, axis=3)
    values = {
        "instruction": "put the carrot in the bowl",
        "observation": Observation(
            images, np.array([stamp - 0.2, stamp]), random.normal(size=(2, 7)), random.normal(size=7)
        ),
        "committed": random.normal(size=(committed_frames, 7)),
        "start_joints": random.normal(size=7),
        "deadline": 5.0,
    }
    return PlanRequest(**{**values, **changes})


def plan(
    stamp: float = 12.4, *, horizon: int = 5, candidates_made: int = 3, imagination: bool = True, **changes
) -> Plan:
    random = np.random.default_rng(horizon)
    values = {
        "observation_stamp": stamp,
        "times": stamp + 0.2 * np.arange(1, horizon + 1),
        "poses": random.normal(size=(horizon, 7)),
        "candidates": tuple(
            Candidate(f"+x {i}", random.normal(size=(horizon, 7)), 0.4, 0.5, 0.1, 0.2, 0.9, 0.3)
            for i in range(candidates_made)
        ),
        "chosen": max(candidates_made - 1, 0),
        "refined": True,
        "objective": (1.5, 1.75),
        "uncertainty": 0.2,
        "proposers": {"biased": "skipped: the object is not in view"},
        "timings": {"imagine": 120.5, "score": 3.25},
        "imagination": Imagination(
            random.integers(0, 256, (horizon, 3, 4, 6, 3), dtype=np.uint8),
            random.integers(0, 256, (horizon, 3, 4, 6, 3), dtype=np.uint8),
            random.random((horizon, 3, 2, 3), dtype=np.float32),
        )
        if imagination
        else None,
    }
    return Plan(**{**values, **changes})


def every_type() -> list:
    return [
        Hello("panda", "0.1.0"),
        spec(),
        request(),
        plan(),
        Progress("imagine", 0.4),
        Cancel(17),
        Reset(),
        StatusRequest(),
        Status(busy=True, queued=1, plans=12, dropped=3, uptime=17.5),
        Done(),
        ErrorReply("expired", "waited 3.2 s of 1 s", retryable=True),
    ]


_text = st.text(st.characters(codec="utf-8"), max_size=12)
_name = st.text(st.characters(codec="utf-8"), min_size=1, max_size=12)
_unit = st.floats(0, 1)
_finite = st.floats(allow_nan=False, allow_infinity=False)
_positive = st.floats(1e-6, 1e6)
_ids = st.integers(0, 2**53 - 1)


@st.composite
def _plans(draw) -> Plan:
    changes = {
        "objective": (draw(_finite), draw(_finite)),
        "uncertainty": draw(_unit),
        "refined": draw(st.booleans()),
        "status": draw(st.sampled_from(["confident", "uncertain"])),
        "doubt": draw(_text),
        "proposers": draw(st.dictionaries(_text, _text, max_size=3)),
        "timings": draw(st.dictionaries(_text, _positive, max_size=3)),
    }
    return plan(
        draw(st.floats(0, 2e9)),
        horizon=draw(st.integers(1, 6)),
        candidates_made=draw(st.integers(1, 5)),
        imagination=draw(st.booleans()),
        **changes,
    )


@st.composite
def _requests(draw) -> PlanRequest:
    return request(
        draw(st.floats(0, 2e9)),
        committed_frames=draw(st.integers(0, 6)),
        seed=draw(st.integers(0, 2**31)),
        instruction=draw(_text),
        deadline=draw(st.floats(1e-3, 3600)),
        frames_wanted=draw(st.booleans()),
    )


messages = st.one_of(
    st.builds(Hello, _name, _text),
    st.builds(lambda name, robots, latency: spec(model_name=name, robots=robots, plan_latency=latency), _name,
              st.lists(_name, min_size=1, max_size=3).map(tuple), _positive),
    _requests(),
    _plans(),
    st.builds(Progress, _name, _unit),
    st.builds(Cancel, _ids),
    st.just(Reset()),
    st.just(StatusRequest()),
    st.builds(Status, st.booleans(), _ids, _ids, _ids, _positive),
    st.just(Done()),
    st.builds(ErrorReply, st.sampled_from(["busy", "internal"]), _text, st.booleans()),
)  # fmt: skip
