"""Hard limits of the wire format: what a peer may never exceed, whoever it is.

They are far above what a robot cell sends (two instants of three 320x192 cameras are 1.1 MB) and low enough that no
message can exhaust a machine. A message beyond them is refused with `limit_exceeded` before memory is spent on it.
"""

from __future__ import annotations

import numpy as np

MAX_HEADER_BYTES = 256 * 1024
MAX_FRAMES = 320  # the header and one per array: a plan has 2 + one per candidate + 3
MAX_FRAME_BYTES = 64 * 1024 * 1024
MAX_MESSAGE_BYTES = 128 * 1024 * 1024

MAX_IDENTIFIER_BYTES = 64  # robot, session, camera, stage and model names
MAX_INSTRUCTION_BYTES = 2048
MAX_ERROR_BYTES = 4096
MAX_CANDIDATES = 256
MAX_NOTES = 64  # entries of a name -> text or name -> milliseconds map
MAX_ID = 2**53 - 1  # exact in every language's numbers

MAX_WAITING_ROBOTS = 64
MAX_DEADLINE = 3600.0  # seconds

# Element types on the wire. Always little-endian, always row-major.
DTYPES: dict[str, np.dtype] = {"uint8": np.dtype("u1"), "float32": np.dtype("<f4"), "float64": np.dtype("<f8")}
DTYPE_NAMES = {dtype: name for name, dtype in DTYPES.items()}

# Smallest and largest value of every named array dimension; a name stands for one number within a message.
DIMENSIONS = {
    "frames": (1, 16),
    "cameras": (1, 8),
    "height": (1, 2160),
    "width": (1, 3840),
    "committed": (0, 128),
    "horizon": (1, 128),
    "cells_high": (1, 2160),
    "cells_wide": (1, 3840),
}
