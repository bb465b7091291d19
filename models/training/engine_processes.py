"""The processes that share a training run, through Hugging Face Accelerate; usually there is one, and none of it runs.

Accelerate and torchrun start the same command several times and tell each process which one it is. Each works on its
rows of the global batch, and the gradients are averaged on the way back, so every process takes the very same step.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta

import torch
from torch import Tensor, nn

from models.errors import TrainingError
from models.training.engine_draw import Share

PATIENCE = timedelta(hours=12)
"""How long a process waits for the first one, which alone reads new data, encodes it and measures."""


class Processes:
    """One process that does everything."""

    def __init__(self, device: torch.device) -> None:
        self.share = Share(device=device)

    @property
    def first(self) -> bool:
        """Whether this process is the one that writes and speaks."""
        return self.share.index == 0

    def share_gradients(self, module: nn.Module) -> nn.Module:
        """A module whose backward pass leaves the mean gradient of all processes."""
        return module

    def mean(self, values: Sequence[float]) -> list[float]:
        """Mean of each value over all processes, the same in every one."""
        return list(values)

    def wait(self) -> None:
        """Until every process is here."""

    @contextmanager
    def first_goes_first(self) -> Iterator[None]:
        """The first process runs the body while the others wait; then they do."""
        yield


class SharedProcesses(Processes):
    """One of several processes."""

    def __init__(self, cpu: bool) -> None:
        from accelerate import Accelerator
        from accelerate.utils import InitProcessGroupKwargs

        # The loop casts and steps by itself: Accelerate starts the group, wraps the module and averages.
        self._accelerator = Accelerator(
            cpu=cpu, mixed_precision="no", kwargs_handlers=[InitProcessGroupKwargs(timeout=PATIENCE)]
        )
        state = self._accelerator
        self.share = Share(state.process_index, state.num_processes, state.device)

    def share_gradients(self, module: nn.Module) -> nn.Module:
        """See `Processes`."""
        return self._accelerator.prepare_model(module)

    def mean(self, values: Sequence[float]) -> list[float]:
        """See `Processes`."""
        summed = torch.tensor(values, dtype=torch.float64, device=self.share.device)
        result: Tensor = self._accelerator.reduce(summed, "mean")
        return result.tolist()

    def wait(self) -> None:
        """See `Processes`."""
        self._accelerator.wait_for_everyone()

    @contextmanager
    def first_goes_first(self) -> Iterator[None]:
        """See `Processes`."""
        with self._accelerator.main_process_first():
            yield


def join(device: str = "auto") -> Processes:
    """Join the processes a launcher started, or work alone.

    Args:
        device: ``auto`` (the GPU where there is one), ``cpu`` or ``cuda``.

    Raises:
        TrainingError: There is no such device.
    """
    if device not in ("auto", "cpu", "cuda"):
        raise TrainingError(f"device {device!r}: choose auto, cpu or cuda")
    if device == "cuda" and not torch.cuda.is_available():
        raise TrainingError("device cuda: PyTorch sees no CUDA GPU here (see `vidplan doctor`); use cpu or auto")
    cpu = device == "cpu" or not torch.cuda.is_available()
    if int(os.environ.get("WORLD_SIZE", "1")) > 1:
        return SharedProcesses(cpu)
    if os.environ.get("ACCELERATE_USE_CPU", "").lower() == "true" and "MASTER_PORT" in os.environ:
        print(
            "accelerate launch --cpu starts several processes only with MPI (--mpirun_hostfile): this one is alone.\n"
            "Without MPI: torchrun --nproc_per_node 2 -m vidplan train ...",
            file=sys.stderr,
        )
    return Processes(torch.device("cpu" if cpu else "cuda"))
