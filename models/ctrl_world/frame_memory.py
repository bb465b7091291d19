"""Latents of the camera frames that were seen last, so that what comes again is not encoded again."""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Callable

import torch
from torch import Tensor

REMEMBERED = 64
"""Frames whose latents are kept: the histories of a dozen robots, 3 MB at full size."""


class FrameMemory:
    """Encodes images, a frame being all views of one moment; told apart by the SHA-1 of their pixels."""

    def __init__(self, encode: Callable[[Tensor], Tensor], remembered: int = REMEMBERED) -> None:
        """Remember what an encoder of frozen weights says.

        Args:
            encode: Images ``(B, T, V, H, W, 3)`` -> latents ``(B, T, C, V*h, w)``.
            remembered: Frames to keep.
        """
        self._encode, self._remembered = encode, remembered
        self._known: OrderedDict[tuple[torch.device, bytes], Tensor] = OrderedDict()

    def __call__(self, images: Tensor, device: torch.device) -> Tensor:
        """Latents ``(B, T, C, V*h, w)`` of uint8 images ``(B, T, V, H, W, 3)`` on the host.

        Args:
            images: Of any B and T.
            device: Where the encoder is now.
        """
        frames = images.contiguous().flatten(0, 1)
        names = [(device, hashlib.sha1(frame.numpy(), usedforsecurity=False).digest()) for frame in frames]
        known = {name: self._known[name] for name in names if name in self._known}
        unknown = {name: frame for name, frame in zip(names, frames, strict=True) if name not in known}
        if unknown:
            known |= zip(unknown, self._encode(torch.stack(list(unknown.values()))[None])[0], strict=True)
        for name in names:
            self._known[name] = known[name]
            self._known.move_to_end(name)
        while len(self._known) > self._remembered:
            self._known.popitem(last=False)
        return torch.stack([known[name] for name in names]).unflatten(0, images.shape[:2])
