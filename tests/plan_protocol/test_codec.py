"""Round trips, refusals, and the promise that no bytes raise anything but a `ProtocolError`."""

from __future__ import annotations

import dataclasses
import subprocess
import sys

import cv2
import msgpack
import numpy as np
import protocol_samples as samples
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from plan_protocol import errors, limits
from plan_protocol.codec import Header, decode, encode, pack, read_header
from plan_protocol.jpeg import stated_size
from plan_protocol.messages import Done, Message, Plan, PlanRequest
from plan_protocol.schema import BODIES

HEADER = Header("cell-3", "9f2c", 17, 4)
RANDOMISED = settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))


def assert_equal(a, b):
    """Deep equality of dataclasses that hold arrays, dtypes included."""
    assert type(a) is type(b)
    if dataclasses.is_dataclass(a):
        for field in dataclasses.fields(a):
            assert_equal(getattr(a, field.name), getattr(b, field.name))
    elif isinstance(a, np.ndarray):
        assert a.dtype == b.dtype
        np.testing.assert_array_equal(a, b)
    elif isinstance(a, tuple):
        assert len(a) == len(b)
        for x, y in zip(a, b, strict=True):
            assert_equal(x, y)
    else:
        assert a == b


def joined(frames) -> list[bytes]:
    return [bytes(frame) for frame in frames]


def decode_or_protocol_error(frames) -> Message | None:
    try:
        return decode(frames)[1]
    except errors.ProtocolError as error:
        error.to_reply()
        return None


def test_every_message_type_of_the_contract_is_in_the_schema():
    assert {body.type for body in BODIES.values()} == set(Message.__args__)
    for message in samples.every_type():
        names = {field.name for field in dataclasses.fields(message)}
        body = BODIES[pack(message).type]
        in_header = {PlanRequest: {"deadline"}, Plan: {"observation_stamp"}}.get(type(message), set())
        assert set(body.fields) | in_header == names


@pytest.mark.parametrize("message", samples.every_type(), ids=lambda m: type(m).__name__)
def test_round_trip(message):
    header, back = decode(joined(encode(message, HEADER)))
    assert_equal(message, back)
    assert (header.robot, header.session, header.request, header.sequence) == ("cell-3", "9f2c", 17, 4)


@RANDOMISED
@given(samples.messages, st.text(min_size=1, max_size=9), st.integers(0, limits.MAX_ID))
def test_round_trip_of_random_messages(message, name, number):
    try:
        name.encode()
    except UnicodeEncodeError:
        with pytest.raises(errors.InvalidFieldError):
            encode(message, Header(name, "s", number))
        return
    header, back = decode(joined(encode(message, Header(name, "s", number))))
    assert (header.robot, header.request) == (name, number)
    assert_equal(message, back)


def test_plan_request_says_stamp_and_deadline_in_the_header():
    header = read_header(encode(samples.request(3.5, deadline=0.8), HEADER)[0]).header
    assert (header.type, header.stamp, header.deadline) == ("plan_request", 3.5, 0.8)


def test_images_are_not_copied():
    request = samples.request()
    frames = encode(request, HEADER)
    assert np.shares_memory(np.frombuffer(frames[1], np.uint8), request.observation.images)
    received = joined(frames)
    _, back = decode(received)
    assert np.shares_memory(np.frombuffer(received[1], np.uint8), back.observation.images)


def test_sliced_and_big_endian_arrays_arrive_intact():
    request = samples.request()
    images = np.repeat(request.observation.images, 2, axis=3)[:, :, :, ::2]
    odd = dataclasses.replace(
        request,
        observation=dataclasses.replace(request.observation, images=images),
        committed=request.committed.astype(">f8"),
    )
    assert_equal(decode(joined(encode(odd, HEADER)))[1], request)


def test_unaligned_frames_become_aligned_arrays():
    frames = joined(encode(samples.plan(), HEADER))
    shifted = [memoryview(b"x" + frame)[1:] for frame in frames]
    plan = decode(shifted)[1]
    assert plan.poses.flags.aligned
    assert plan.poses.flags.writeable
    assert_equal(plan, samples.plan())


# ---- anything that is not a message ------------------------------------------------------------------------------


@RANDOMISED
@given(st.lists(st.binary(max_size=200), max_size=5))
def test_random_bytes(frames):
    assert decode_or_protocol_error(frames) is None


_values = st.recursive(
    st.one_of(
        st.none(),
        st.booleans(),
        st.integers(-(2**63), 2**64 - 1),
        st.floats(),
        st.text(max_size=5),
        st.binary(max_size=5),
    ),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4),
    max_leaves=12,
)


@RANDOMISED
@given(st.sampled_from(samples.every_type()), st.data())
def test_header_with_one_value_replaced(message, data):
    """Every value of the header in turn, at any depth, becomes something else or vanishes."""
    frames = joined(encode(message, HEADER))
    content = msgpack.unpackb(frames[0])
    parent = content
    while True:
        key = data.draw(st.sampled_from(sorted(parent) if isinstance(parent, dict) else range(len(parent))))
        child = parent[key]
        if not isinstance(child, (dict, list)) or not child or data.draw(st.booleans()):
            break
        parent = child
    if isinstance(parent, dict) and data.draw(st.booleans()):
        del parent[key]
    else:
        parent[key] = data.draw(_values)
    decode_or_protocol_error([msgpack.packb(content), *frames[1:]])


@RANDOMISED
@given(st.sampled_from(samples.every_type()), st.booleans(), st.data())
def test_flipped_bytes(message, compressed, data):
    frames = joined(encode(message, HEADER, jpeg_quality=90 if compressed else None))
    index = data.draw(st.integers(0, min(len(frames) - 1, 3)))
    frame = bytearray(frames[index])
    for _ in range(data.draw(st.integers(1, 4))):
        if frame:
            frame[data.draw(st.integers(0, len(frame) - 1))] = data.draw(st.integers(0, 255))
    frames[index] = bytes(frame)
    decode_or_protocol_error(frames)


@RANDOMISED
@given(st.sampled_from(samples.every_type()), st.booleans(), st.data())
def test_truncated_missing_and_added_frames(message, compressed, data):
    frames = joined(encode(message, HEADER, jpeg_quality=90 if compressed else None))
    index = data.draw(st.integers(0, len(frames) - 1))
    change = data.draw(st.sampled_from(["cut", "drop", "repeat"]))
    if change == "cut":
        if not frames[index]:
            return
        frames[index] = frames[index][: data.draw(st.integers(0, len(frames[index]) - 1))]
    elif change == "drop":
        del frames[index]
    else:
        frames.insert(index, frames[index])
    assert decode_or_protocol_error(frames) is None


@pytest.mark.parametrize("opening", [b"\x91", b"\x81\xa1a", b"\x81\xa7version\x91"])
def test_deep_nesting_is_refused(opening):
    assert decode_or_protocol_error([opening * 20000 + b"\xc0"]) is None


def test_deep_nesting_inside_a_valid_header_is_refused():
    content = msgpack.unpackb(encode(Done(), HEADER)[0])
    for key in ("body", "arrays", "stamp", "robot"):
        deep: object = None
        for _ in range(400):
            deep = [deep]
        assert decode_or_protocol_error([msgpack.packb({**content, key: deep})]) is None


def test_msgpack_extensions_are_refused():
    content = msgpack.unpackb(encode(Done(), HEADER)[0])
    for value in (msgpack.ExtType(5, b"x"), msgpack.Timestamp(1, 2), b"raw"):
        assert decode_or_protocol_error([msgpack.packb({**content, "robot": value})]) is None


# ---- refusals with a reason ---------------------------------------------------------------------------------------


def test_another_version_is_named_even_when_its_keys_differ():
    with pytest.raises(errors.UnsupportedVersionError, match="version 9"):
        decode([msgpack.packb({"version": 9, "kind": "x"})])


def test_empty_first_frame_hints_at_req_sockets():
    with pytest.raises(errors.MalformedMessageError, match="DEALER"):
        decode([b"", b"x"])


def test_unknown_and_missing_keys_are_named():
    content = msgpack.unpackb(encode(samples.every_type()[0], HEADER)[0])
    content["body"]["robot"] = content["body"].pop("robot_model")
    with pytest.raises(errors.MalformedMessageError, match=r"hello: 1 unknown keys, missing: robot_model"):
        decode([msgpack.packb(content)])


def observed(**changes) -> PlanRequest:
    request = samples.request()
    return dataclasses.replace(request, observation=dataclasses.replace(request.observation, **changes))


def candidate(**changes) -> Plan:
    plan = samples.plan()
    return dataclasses.replace(plan, candidates=(dataclasses.replace(plan.candidates[0], **changes),), chosen=0)


@pytest.mark.parametrize(
    ("message", "error", "words"),
    [
        (samples.request(committed_frames=0, deadline=0.0), errors.InvalidFieldError, "header.deadline"),
        (samples.request(deadline=float("nan")), errors.InvalidFieldError, "header.deadline"),
        (samples.request(start_joints=np.zeros(6)), errors.InvalidFieldError, "start_joints"),
        (samples.request(committed=np.zeros((3, 6))), errors.InvalidFieldError, "committed"),
        (samples.request(committed=np.zeros((200, 7))), errors.LimitExceededError, "committed"),
        (samples.request(committed=[[0.0] * 7]), errors.InvalidFieldError, "numpy"),
        (samples.request(instruction="x" * 3000), errors.LimitExceededError, "instruction"),
        (samples.request(instruction=b"carrot"), errors.InvalidFieldError, "instruction"),
        (samples.request(seed=-1), errors.LimitExceededError, "seed"),
        (samples.request(frames_wanted=1), errors.InvalidFieldError, "frames_wanted"),
        (observed(images=np.zeros((2, 3, 4, 6, 3), np.float32)), errors.InvalidFieldError, "images"),
        (observed(images=np.zeros((2, 3, 4, 6, 4), np.uint8)), errors.InvalidFieldError, "images"),
        (observed(images=np.zeros((1, 3, 4, 6, 3), np.uint8)), errors.InvalidFieldError, "frames=1"),
        (observed(images=np.zeros((2, 9, 4, 6, 3), np.uint8)), errors.LimitExceededError, "cameras"),
        (observed(poses=np.full((2, 7), np.nan)), errors.InvalidFieldError, "not finite"),
        (observed(stamps=np.array([2.0, 1.0])), errors.InvalidFieldError, "oldest first"),
        (samples.plan(times=np.zeros(5)), errors.InvalidFieldError, "times must increase"),
        (samples.plan(poses=np.zeros((4, 7))), errors.InvalidFieldError, "horizon=5"),
        (samples.plan(poses=np.zeros((5, 7), np.float32)), errors.InvalidFieldError, "float64"),
        (samples.plan(chosen=3), errors.InvalidFieldError, "chosen"),
        (samples.plan(candidates_made=0), errors.LimitExceededError, "candidates"),
        (samples.plan(objective=(1.0,)), errors.LimitExceededError, "objective"),
        (samples.plan(timings={"x": float("inf")}), errors.InvalidFieldError, "timings.x"),
        (samples.plan(uncertainty=1.2), errors.InvalidFieldError, "uncertainty"),
        (candidate(poses=np.zeros((4, 7))), errors.InvalidFieldError, r"candidates\[0\].poses"),
        (candidate(name=""), errors.LimitExceededError, "name"),
        (samples.spec(workspace_upper=(0.1, 0.5, 0.7)), errors.InvalidFieldError, "workspace"),
        (samples.spec(history_offsets=(0, -1)), errors.InvalidFieldError, "history_offsets"),
        (samples.spec(cameras=samples.spec().cameras[:1] * 2), errors.InvalidFieldError, "twice"),
        (samples.spec(frame_period=0.0), errors.InvalidFieldError, "frame_period"),
        ("hello", errors.InvalidFieldError, "not a message"),
    ],
)
def test_invalid_fields_are_refused_by_the_sender(message, error, words):
    with pytest.raises(error, match=words):
        encode(message, HEADER)


def test_the_receiver_refuses_what_a_careless_sender_lets_through():
    frames = joined(encode(samples.request(), HEADER))
    frames[2] = np.array([np.nan, 1.0]).tobytes()
    with pytest.raises(errors.InvalidFieldError, match="stamps"):
        decode(frames)
    content = msgpack.unpackb(frames[0])
    content["stamp"] = 99.0
    frames = [msgpack.packb(content), *joined(encode(samples.request(), HEADER))[1:]]
    with pytest.raises(errors.InvalidFieldError, match=r"header\.stamp"):
        decode(frames)


def descriptor_changed(index: int, **changes) -> list[bytes]:
    frames = joined(encode(samples.request(), HEADER))
    content = msgpack.unpackb(frames[0])
    content["arrays"][index].update(changes)
    return [msgpack.packb(content), *frames[1:]]


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"dtype": "object"}, errors.InvalidFieldError),
        ({"dtype": "<u1"}, errors.InvalidFieldError),
        ({"shape": [1 << 26] * 3}, errors.LimitExceededError),
        ({"shape": [0] + [1 << 26] * 4}, errors.LimitExceededError),
        ({"shape": [-1, 5]}, errors.MalformedMessageError),
        ({"shape": [1] * 50}, errors.MalformedMessageError),
        ({"shape": [True, 3]}, errors.MalformedMessageError),
        ({"shape": [2, 3, 12, 20, 2]}, errors.MalformedMessageError),
        ({"order": "F"}, errors.MalformedMessageError),
    ],
)
def test_array_descriptors_are_checked(changes, error):
    with pytest.raises(error):
        decode(descriptor_changed(0, **changes))


def test_counts_and_sizes_are_limited():
    frames = joined(encode(Done(), HEADER))
    with pytest.raises(errors.LimitExceededError, match="frames"):
        decode(frames + [b""] * limits.MAX_FRAMES)
    with pytest.raises(errors.LimitExceededError, match="header"):
        decode([b"\x00" * (limits.MAX_HEADER_BYTES + 1)])
    with pytest.raises(errors.LimitExceededError, match="bytes"):
        decode([frames[0], bytes(limits.MAX_FRAME_BYTES + 1)])


def test_the_largest_plan_fits():
    plan = samples.plan(candidates_made=limits.MAX_CANDIDATES)
    assert_equal(decode(joined(encode(plan, HEADER)))[1], plan)


# ---- JPEG ---------------------------------------------------------------------------------------------------------


def test_jpeg_is_smaller_and_close():
    request = samples.request(size=(96, 160))
    raw, small = encode(request, HEADER), encode(request, HEADER, jpeg_quality=90)
    assert len(small[1]) < len(raw[1]) / 8
    back = decode(joined(small))[1]
    difference = back.observation.images.astype(int) - request.observation.images
    assert np.abs(difference).mean() < 3  # red and blue swapped would be tens
    assert_equal(dataclasses.replace(back, observation=request.observation), request)


def test_jpeg_of_another_size_is_refused_before_it_is_decoded(monkeypatch):
    huge = cv2.imencode(".jpg", np.zeros((4000, 4000, 3), np.uint8))[1].tobytes()
    assert stated_size(huge) == (4000, 4000)
    frames = joined(encode(samples.request(), HEADER))
    content = msgpack.unpackb(frames[0])
    content["arrays"][0]["jpeg"] = [len(huge)] * 6
    monkeypatch.setattr(cv2, "imdecode", lambda *_: pytest.fail("decoded"))
    with pytest.raises(errors.MalformedMessageError, match="12x20"):
        decode([msgpack.packb(content), huge * 6, *frames[2:]])


@pytest.mark.parametrize("lengths", [[], [0] * 6, [1] * 6, "x", [1 << 40], [-1] * 6])
def test_jpeg_lengths_are_checked(lengths):
    with pytest.raises(errors.ProtocolError):
        decode(descriptor_changed(0, jpeg=lengths))


def test_only_images_can_be_jpeg():
    with pytest.raises(errors.InvalidFieldError, match="only uint8 images"):
        decode(descriptor_changed(1, jpeg=[16]))


def test_other_formats_and_progressive_files_are_not_jpeg():
    image = np.zeros((12, 20, 3), np.uint8)
    assert stated_size(cv2.imencode(".png", image)[1].tobytes()) is None
    progressive = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_PROGRESSIVE, 1])[1].tobytes()
    assert stated_size(progressive) is None
    assert stated_size(cv2.imencode(".jpg", image)[1].tobytes()) == (12, 20)


# ---- errors and imports ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("code", list(errors.ErrorCode))
def test_errors_cross_the_wire(code):
    kinds = [kind for kind in errors.ProtocolError.__subclasses__() if kind.code is code]
    assert len(kinds) == 1
    reply = kinds[0]("what was wrong").to_reply()
    back = errors.from_reply(decode(joined(encode(reply, HEADER)))[1])
    assert type(back) is kinds[0]
    assert (str(back), back.retryable) == ("what was wrong", kinds[0].retryable)


def test_error_text_from_anywhere_can_be_sent():
    reply = errors.InternalServerError("\ud800" + "é" * 5000).to_reply()
    assert decode(joined(encode(reply, HEADER)))[1] == reply


def test_the_protocol_needs_no_heavy_package():
    code = "import sys, plan_protocol.codec; print([m for m in ('torch', 'rclpy', 'scipy', 'cv2') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
