"""The cameras: there, fast enough, right size, right clock, told apart by picture."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from robot_bridge.bags.contact_sheet import contact_sheet, write_sheet
from robot_bridge.bags.recorded import COMPRESSED
from robot_bridge.doctor.check import MISSING, NOTE, OK, SKIPPED, Cell, Check
from robot_bridge.errors import ImageError
from robot_bridge.guard.observation import OTHER_CLOCK
from robot_bridge.listening.look import Look
from robot_model.conventions import VIDEO_PERIOD

SMALLEST = (320, 180)
HEAVY = 2_000_000
"""Bytes of a picture above which Python and DDS have a hard time."""
FUTURE, OLD = -0.02, 0.5
"""Seconds between stamp and receipt that are still believed."""


def cameras(cell: Cell) -> Iterator[Check]:
    """All checks of this part."""
    look = cell.look
    if look is None:
        yield cell.without_graph("cameras")
        return
    for role, topic in cell.config.camera_topics.items():
        yield camera(look, role, topic)
    yield spread(look, list(cell.config.camera_topics.values()))
    yield by_picture(cell, look)


def camera(look: Look, role: str, topic: str) -> Check:
    """Rate, size and clock of one camera."""
    name, heard = f"camera {role}", look.heard.get(topic)
    if heard is None or not heard.count:
        others = [other for other in look.image_topics if other != topic]
        advice = f"start its driver, or name another: --cameras {role}={others[0] if others else '/TOPIC'}"
        there = "is there, but nothing comes" if heard else "is not there"
        return Check(name, MISSING, f"{topic} {there}; pictures are on: {', '.join(others) or 'no topic'}", advice)
    try:
        picture = heard.picture()
    except ImageError as error:
        return Check(name, MISSING, f"{topic}: {error}", "set the driver to rgb8, bgr8, bgra8 or JPEG")
    if picture is None:
        return Check(name, MISSING, f"{topic} is a {heard.type}, no picture", "take an Image or CompressedImage topic")
    if (heard.type == COMPRESSED) != topic.endswith("/compressed"):
        return Check(
            name,
            MISSING,
            f"{topic} is a {heard.type}",
            "the bridge takes .../compressed as CompressedImage, all others as Image: remap it",
        )
    height, width = picture.shape[:2]
    found = f"{heard.rate:.0f} Hz, {width}x{height}, {topic}"
    if heard.count < 2:
        text = f"only one picture in {look.seconds:.1f} s, {width}x{height}, {topic}"
        return Check(name, MISSING, text, "set the driver to 15 Hz or more, or listen longer: --seconds")
    if heard.rate < 0.9 / VIDEO_PERIOD:
        return Check(
            name, MISSING, found, f"the planner looks {1 / VIDEO_PERIOD:.0f} times per second: set 15 Hz or more"
        )
    if heard.lag is not None and not FUTURE < heard.lag < OLD:
        return Check(name, MISSING, f"{found}; stamps are {heard.lag:+.2f} s before receipt", clock_advice(heard.lag))
    if float(picture.std()) < 2.0:
        return Check(name, MISSING, f"{found}; all one colour", "lens cap, exposure, or no light?")
    if (width, height) < SMALLEST or height < SMALLEST[1]:
        return Check(name, NOTE, found, f"less than the planner's {SMALLEST[0]} pixels: set the driver larger")
    if heard.rate and heard.megabytes_per_second / heard.rate * 1e6 > HEAVY:
        return Check(name, NOTE, found, "large pictures are slow in Python: set the driver to about 640x360")
    return Check(name, OK, found)


def clock_advice(lag: float) -> str:
    """What to do about stamps that are ``lag`` seconds from the clock here."""
    if abs(lag) > OTHER_CLOCK:
        return (
            "stamps of a simulation or a bag, or none: --use-sim-time there; else the driver must stamp with this clock"
        )
    return "it is stamped by a machine with another clock: chrony on both, with the same server"


def spread(look: Look, topics: list[str]) -> Check:
    """Whether the cameras' stamps are of one clock."""
    lags = [heard.lag for topic in topics if (heard := look.heard.get(topic)) is not None and heard.lag is not None]
    if len(lags) < 2:
        return Check("clock skew", SKIPPED, "fewer than two cameras send stamps")
    apart = float(np.ptp(lags))
    found = f"cameras' delays differ by {apart * 1e3:.0f} ms"
    if apart > 0.1:
        return Check(
            "clock skew", MISSING, found, "synchronise the machines' clocks (chrony, PTP), or mend the slow driver"
        )
    return Check("clock skew", OK, found)


def by_picture(cell: Cell, look: Look) -> Check:
    """Only a person can tell whether left is left: put the pictures side by side."""
    roles = cell.config.camera_topics
    named = [(f"{role}: {topic}", picture) for role, topic in roles.items() for _, picture in look.pictures([topic])]
    if all(picture is None for _, picture in named):
        return Check("camera order", SKIPPED, "no pictures to look at")
    path = write_sheet(cell.picture, contact_sheet(named))
    return Check(
        "camera order", OK, f"look at {path}", "left and right are the scene cameras; else give --cameras anew"
    )
