"""Fixtures shared by every room's tests."""

from __future__ import annotations

from pathlib import Path

import pytest

REFERENCE = Path(__file__).resolve().parents[2] / "shared" / "droid"


@pytest.fixture(scope="session")
def droid() -> Path:
    """Root of the real DROID episodes kept beside the checkout; skips where a clone has none."""
    if not (REFERENCE / "annotation").is_dir():
        pytest.skip(f"real DROID episodes are not at {REFERENCE} (they are reference data, not part of the product)")
    return REFERENCE
