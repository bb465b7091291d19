"""`vidplan serve` ends in order when it is stopped before it serves."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]

TORCH = """
import os, time
try:
    os.kill(os.getpid(), {number})
    time.sleep(30)
except BaseException:
    pass
raise ImportError("cannot load module more than once per process")
"""
"""What C code does that imports modules of its own: it swallows the exception of a signal handler and tries again."""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_in_the_middle_of_importing_torch_ends_it_in_order(tmp_path: Path, number: signal.Signals) -> None:
    (tmp_path / "torch.py").write_text(TORCH.format(number=int(number)))
    done = subprocess.run(
        [sys.executable, "-m", "planner_server.cli"],
        env={**os.environ, "PYTHONPATH": f"{tmp_path}{os.pathsep}{ROOT}"},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "vidplan serve: stopped\n", "")
