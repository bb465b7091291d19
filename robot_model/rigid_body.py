"""Pinocchio, importable also where the system has no OpenMP runtime.

The `pin` wheel needs ``libgomp.so.1``, which minimal Debian and container images lack. PyTorch's wheel carries one: it
is loaded by its path, without importing torch. So import Pinocchio from here.
"""

from __future__ import annotations

import ctypes
import importlib.util
import sys
from pathlib import Path

OPENMP = "libgomp.so.1"


def load_openmp() -> None:
    """Make ``libgomp.so.1`` available to libraries loaded afterwards (Linux only; elsewhere `pin` does not need it).

    Raises:
        ImportError: Neither the system nor an installed PyTorch has it; says how to get it.
    """
    if sys.platform != "linux":
        return
    for candidate in (OPENMP, *_bundled_with_torch()):
        try:
            ctypes.CDLL(candidate, mode=ctypes.RTLD_GLOBAL)
        except OSError:
            continue
        return
    raise ImportError(
        f"Pinocchio needs the OpenMP runtime {OPENMP}, which this system lacks. Install it with "
        "`apt-get install libgomp1`, or install PyTorch, which carries one."
    )


def _bundled_with_torch() -> list[str]:
    torch = importlib.util.find_spec("torch")
    if torch is None or torch.origin is None:
        return []
    return [str(path) for path in (Path(torch.origin).parent / "lib").glob(OPENMP)]


load_openmp()
import pinocchio  # noqa: E402 - its libraries must find OpenMP loaded

__all__ = ["pinocchio"]
