"""The reference page is what the code says, and every name in the code's table is used."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path

from robot_bridge.config import BridgeConfig
from robot_bridge.reference import page
from robot_bridge.ros import topics

ROOT = Path(__file__).resolve().parents[2]


def test_the_page_is_what_the_code_says():
    written = (ROOT / "docs" / "reference.md").read_text(encoding="utf-8")
    assert written == page(), "run: .venv/bin/python -m robot_bridge.reference > docs/reference.md"


def test_the_table_has_every_name_and_no_unknown_setting():
    named = {entry.name for entry in topics.INTERFACES}
    constants = {value for name, value in vars(topics).items() if name.isupper() and isinstance(value, str)}
    assert constants - {topics.NODE} <= named
    settings = {item.name for item in fields(BridgeConfig)}
    assert {name.strip("{}") for name in named if name.startswith("{")} <= settings


def test_numbers_have_a_unit_or_are_ratios():
    without = {item.name for item in fields(BridgeConfig) if "low" in item.metadata and not item.metadata.get("unit")}
    assert without == {
        *(
            "seed",
            "realtime_priority",
            "max_step_excess",
            "condition_slow",
            "condition_stop",
            "velocity_scale",
            "acceleration_scale",
        ),
        *("gripper_close_above", "gripper_open_below", "uncertain_speed", "uncertain_plans"),
    }
