"""The processes that share a training run, through Hugging Face Accelerate; usually there is one, and none of it runs.

Accelerate and torchrun start the same command several times and tell each process which one it is. Each works on its
rows of the global batch, and the gradients are averaged on the way back, so every process takes the very same step.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import timedelta
from typing import TypeVar

import torch
from torch import Tensor, nn

from models.errors import TrainingError
from models.training.engine_draw import Share

PATIENCE = timedelta(hours=12)
"""How long a process waits for the first one, which alone reads new data, encodes it and measures."""


T = TypeVar("T")


class Processes:
    """One process that does everything.

    Attributes:
        whole: Each process holds all weights. Where it does not, whatever the weights take part in, from a step to a
            checkpoint, is for all processes together.
    """

    whole = True

    def __init__(self, device: torch.device) -> None:
        self.share = Share(device=device)

    @property
    def first(self) -> bool:
        """Whether this process is the one that writes and speaks."""
        return self.share.index == 0

    def shard(self, module: nn.Module, parts: Callable[[], Sequence[nn.Module]], half: bool) -> None:
        """Take a module apart where the processes share its weights.

        Args:
            module: What is trained.
            parts: Gives the parts of it, each of which computes with whole weights for itself.
            half: Whether they compute in bfloat16.
        """

    def gather(self, values: T) -> T:
        """A tree of tensors with each of them whole, for the first process to keep."""
        return values

    def scatter(self, values: Mapping[str, Tensor], like: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Whole tensors, as `gather` gave them, as they are kept here: like those of the same names."""
        return dict(values)

    def share_gradients(self, module: nn.Module) -> nn.Module:
        """A module whose backward pass leaves the mean gradient of all processes."""
        return module

    def clip(self, parameters: Sequence[nn.Parameter], longest: float) -> float:
        """Shorten the gradient to ``longest`` where it is longer; returns its norm before."""
        return nn.utils.clip_grad_norm_(parameters, longest).item()

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


def join(device: str = "auto", sharded: bool = False) -> Processes:
    """Join the processes a launcher started, or work alone.

    Args:
        device: ``auto`` (the GPU where there is one), ``cpu`` or ``cuda``.
        sharded: Share the weights, too; of no consequence to a process that is alone.

    Raises:
        TrainingError: There is no such device.
    """
    if device not in ("auto", "cpu", "cuda"):
        raise TrainingError(f"device {device!r}: choose auto, cpu or cuda")
    if device == "cuda" and not torch.cuda.is_available():
        raise TrainingError("device cuda: PyTorch sees no CUDA GPU here (see `vidplan doctor`); use cpu or auto")
    cpu = device == "cpu" or not torch.cuda.is_available()
    if int(os.environ.get("WORLD_SIZE", "1")) > 1:
        if sharded:
            from models.training.engine_sharding import ShardedProcesses

            return ShardedProcesses(cpu)
        return SharedProcesses(cpu)
    if os.environ.get("ACCELERATE_USE_CPU", "").lower() == "true" and "MASTER_PORT" in os.environ:
        print(
            "accelerate launch --cpu starts several processes only with MPI (--mpirun_hostfile): this one is alone.\n"
            "Without MPI: torchrun --nproc_per_node 2 -m vidplan train ...",
            file=sys.stderr,
        )
    return Processes(torch.device("cpu" if cpu else "cuda"))
