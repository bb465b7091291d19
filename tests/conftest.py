"""Fixtures shared by every room's tests."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

REFERENCE = Path(__file__).resolve().parents[2] / "shared" / "droid"


@pytest.fixture(scope="session")
def droid() -> Path:
    """Root of the real DROID episodes kept beside the checkout; skips where a clone has none."""
    if not (REFERENCE / "annotation").is_dir():
        pytest.skip(f"real DROID episodes are not at {REFERENCE} (they are reference data, not part of the product)")
    return REFERENCE


@pytest.fixture(autouse=True)
def _small_numbers_again() -> Iterator[None]:
    """Some commands flush subnormal numbers to zero, for the whole process: other tests need them."""
    yield
    if "torch" in sys.modules:
        sys.modules["torch"].set_flush_denormal(False)
