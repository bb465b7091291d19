from __future__ import annotations

import pytest

pytest.importorskip("mujoco", reason="the simulated cell needs the sim extra")

from sim_cell.cell import Cell


@pytest.fixture(scope="session")
def cell() -> Cell:
    """One small cell for all tests of a worker; every test resets it."""
    return Cell(80, 48)
