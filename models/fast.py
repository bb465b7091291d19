"""What makes models fast without changing what they compute: layouts, and compiled networks."""

from __future__ import annotations

from typing import Any, Protocol

import torch
from torch import nn

from models.errors import CompileError

MODES = {"kernels": "default", "graphs": "reduce-overhead", "search": "max-autotune"}
"""What `torch.compile` shall do: fuse kernels; replay them as CUDA graphs, too; and try many kernels of each kind."""


class Compilable(Protocol):
    """A world model that says which of its networks are worth compiling."""

    def networks(self) -> tuple[nn.Module, ...]:
        """Those in which its time goes, without data-dependent control flow."""
        ...


def channels_last(module: nn.Module) -> None:
    """Lay out the weights of convolutions as tensor cores read them: channels innermost."""
    formats = {4: torch.channels_last, 5: torch.channels_last_3d}
    for parameter in module.parameters():
        if parameter.ndim in formats:
            parameter.data = parameter.data.contiguous(memory_format=formats[parameter.ndim])


def compile_networks(model: Compilable, how: str, device: str) -> None:
    """Let `torch.compile` translate a world model's networks, each when it is first called with a batch of its size.

    Args:
        model: The world model, on its device.
        how: One of `MODES`.
        device: Its device.

    Raises:
        CompileError: This machine lacks what the compiler needs.
    """
    check_compiler(device)
    for network in model.networks():
        network.compile(mode=MODES[how], dynamic=False)


def check_compiler(device: str) -> None:
    """Compile something small.

    Raises:
        CompileError: It cannot be done here.
    """

    def small(x: torch.Tensor) -> torch.Tensor:
        return torch.sin(x) + 1

    try:
        compiled: Any = torch.compile(small)
        compiled(torch.ones(8, device=device))
    except Exception as error:  # the compiler's errors have no common class, and its tools raise their own
        needs = "Triton (comes with PyTorch for CUDA) and a C compiler" if "cuda" in device else "a C++ compiler (g++)"
        first = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise CompileError(f"torch.compile does not work here: {first}. It needs {needs}") from error
