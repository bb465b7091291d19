"""The graphics card that the planner would use."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator

from robot_bridge.doctor.check import MISSING, NOTE, OK, SKIPPED, Cell, Check, python_says

ENOUGH_FREE = 2.0
"""Gigabytes: less than this free, and something else has the card."""
QUERY = ["nvidia-smi", "--query-gpu=name,memory.free,memory.total", "--format=csv,noheader,nounits"]


def gpu(cell: Cell) -> Iterator[Check]:
    """All checks of this part."""
    yield memory()
    yield torch()


def memory() -> Check:
    """Free memory of every card."""
    if shutil.which("nvidia-smi") is None:
        return Check("GPU memory", SKIPPED, "no nvidia-smi here", "look on the planner's machine")
    done = subprocess.run(QUERY, capture_output=True, text=True, timeout=20, check=False)
    rows = [[cell.strip() for cell in line.split(",")] for line in done.stdout.splitlines() if line.count(",") == 2]
    if done.returncode or not rows:
        return Check("GPU memory", MISSING, (done.stdout or done.stderr).strip()[:120], "mend the NVIDIA driver first")
    free = [float(row[1]) / 1024 for row in rows]
    found = "; ".join(
        f"{name}: {left:.1f} of {float(total) / 1024:.0f} GB free"
        for (name, _, total), left in zip(rows, free, strict=True)
    )
    if max(free) < ENOUGH_FREE:
        return Check("GPU memory", NOTE, found, "see who has it with nvidia-smi")
    return Check("GPU memory", OK, found)


def torch() -> Check:
    """Ask torch in another process: the bridge's room never loads it."""
    code = (
        "import torch; c = torch.cuda.is_available(); "
        "print(torch.__version__, torch.cuda.get_device_name(0) if c else 'no CUDA GPU')"
    )
    done = python_says(code)
    if done.returncode:
        return Check("torch", NOTE, "no torch", "only the planner needs it: pip install 'vidplan[planner]'")
    found = done.stdout.strip()
    if "no CUDA GPU" in found and shutil.which("nvidia-smi"):
        return Check("torch", NOTE, found, "there is an NVIDIA driver: install torch with CUDA and serve --device cuda")
    return Check("torch", OK, found)
