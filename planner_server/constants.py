"""Numbers of the host as tensors, brought to a device once: each further copy would make host and device wait."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import torch
from numpy.typing import ArrayLike
from torch import Tensor

KEPT = 1024


def constant(values: ArrayLike, like: Tensor) -> Tensor:
    """The values as a tensor of the type and device of ``like``; not to be changed in place."""
    array = np.asarray(values, dtype=np.float64)
    return _kept(array.tobytes(), array.shape, like.dtype, like.device)


@lru_cache(KEPT)
def _kept(data: bytes, shape: tuple[int, ...], dtype: torch.dtype, device: torch.device) -> Tensor:
    return torch.tensor(np.frombuffer(data).reshape(shape), dtype=dtype, device=device)
