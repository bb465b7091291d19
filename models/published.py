"""Files as others publish them: read whole or not at all, and what is wrong with them said in a line."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

from safetensors import SafetensorError

UNREADABLE = (OSError, RuntimeError, EOFError, ValueError, KeyError, pickle.UnpicklingError, SafetensorError)
"""What torch and transformers raise for a file that they cannot read."""
LFS = b"version https://git-lfs"
ZIP = b"PK"


def why(file: Path, error: BaseException) -> str:
    """Why torch did not read a file of tensors; without its advice to let the file run what code it holds."""
    try:
        with open(file, "rb") as stream:
            head = stream.read(len(LFS))
    except OSError as trouble:
        return trouble.strerror or str(trouble)
    if head == LFS:
        return "it is a pointer of Git LFS, not the file itself; download it with `hf download`"
    if not head.startswith(ZIP) or isinstance(error, pickle.UnpicklingError):
        return "it is empty, or holds something else than tensors; nothing in it was run"
    return "it is cut short or damaged; download it again"


def whole_model(family: Any, folder: Path) -> Any:
    """A model of transformers from a local folder; a weight that the folder lacks is not made up.

    Raises:
        ValueError: Weights are missing; or another of `UNREADABLE`.
    """
    model, found = family.from_pretrained(folder, local_files_only=True, output_loading_info=True)
    if missing := sorted(found["missing_keys"]):
        raise ValueError(f"{len(missing)} weights are missing, the first of them {missing[0]}")
    return model
