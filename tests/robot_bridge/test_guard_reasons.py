"""Reason codes: each has a meaning, and the reference lists what the code says."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from robot_bridge.guard.reasons import Reason, reasons_table

PAGE = Path(__file__).resolve().parents[2] / "docs" / "reference.md"


def test_every_code_says_what_it_means():
    assert len({reason.value for reason in Reason}) == len({reason.meaning for reason in Reason}) == len(Reason)
    assert str(Reason.CAMERA_STALE) == Reason.CAMERA_STALE.value == "camera_stale"
    assert Reason("camera_stale") is Reason.CAMERA_STALE


def test_the_page_lists_every_code():
    assert reasons_table() in PAGE.read_text(encoding="utf-8"), (
        "docs/reference.md is out of date: python -m robot_bridge.reference > docs/reference.md"
    )


@pytest.mark.parametrize("reason", Reason, ids=str)
def test_every_code_has_a_test(reason: Reason):
    word = re.compile(rf"\b{reason.value}\b|\bReason\.{reason.name}\b")
    here = Path(__file__).resolve()
    tests = [path for path in here.parent.glob("test_*.py") if path != here]
    assert any(word.search(path.read_text(encoding="utf-8")) for path in tests)
