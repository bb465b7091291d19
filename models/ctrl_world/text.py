"""The instruction as CLIP's text embedding, from a local folder, remembered between plans."""

from __future__ import annotations

from collections import OrderedDict
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from transformers import AutoTokenizer, CLIPTextModelWithProjection

from models.errors import BundleError
from models.published import UNREADABLE, whole_model

REMEMBERED = 256
"""Instructions whose embedding is kept."""


class InstructionEncoder(nn.Module):
    """CLIP's text tower and tokenizer. It is frozen in Ctrl-World."""

    def __init__(self, tokenizer: Any, encoder: CLIPTextModelWithProjection) -> None:
        super().__init__()
        self.tokenizer = tokenizer
        self.encoder: Any = encoder.float().eval().requires_grad_(False)
        self._known: OrderedDict[str, Tensor] = OrderedDict()

    @staticmethod
    def from_folder(folder: Path) -> InstructionEncoder:
        """Load from a folder in transformers' layout.

        Raises:
            BundleError: It is missing or cannot be read.
        """
        if not folder.is_dir():
            raise BundleError(f"{folder} is missing")
        try:
            tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
            encoder = whole_model(CLIPTextModelWithProjection, folder)
        except UNREADABLE as error:
            raise BundleError(f"{folder} holds no CLIP text encoder in transformers' layout: {error}") from error
        return InstructionEncoder(tokenizer, encoder)

    @torch.no_grad()
    def forward(self, instruction: str) -> Tensor:
        """Embedding ``(1, E)`` of an instruction, float32 on the encoder's device; the empty one has one too."""
        device = self.encoder.device
        known = self._known.get(instruction)
        if known is None or known.device != device:
            longest = self.encoder.config.max_position_embeddings
            tokens = self.tokenizer(
                [instruction], padding="max_length", max_length=longest, truncation=True, return_tensors="pt"
            )
            known = self.encoder(**tokens.to(device)).text_embeds.float()
            self._known[instruction] = known
            if len(self._known) > REMEMBERED:
                self._known.popitem(last=False)
        return known
