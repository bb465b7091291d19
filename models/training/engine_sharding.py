"""Processes that share the weights, too: fully sharded data parallel, for networks that one GPU does not train alone.

Every process keeps its part of every weight, of their average and of the optimiser's moments, and sees a whole weight
only while the part of the network that it belongs to computes. Accelerate starts the processes; the sharding is
PyTorch's `fully_shard`, which Accelerate's own plugin calls, too, but on GPUs alone. Checkpoints hold whole tensors, so
a run may go on with any number of processes, sharded or not.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TypeVar

import torch
from torch import Tensor, nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import MixedPrecisionPolicy, fully_shard
from torch.distributed.tensor import DTensor, distribute_tensor
from torch.nn import functional
from torch.utils._pytree import tree_flatten, tree_unflatten

from models.errors import TrainingError
from models.training.engine_processes import SharedProcesses

T = TypeVar("T")
BUNDLE = 2**26
"""Values that travel together when weights are put together: 256 MB."""


class ShardedProcesses(SharedProcesses):
    """One of several processes that share weights and work."""

    whole = False

    def shard(self, module: nn.Module, parts: Callable[[], Sequence[nn.Module]], half: bool) -> None:
        """See `Processes.shard`.

        Raises:
            TrainingError: The module does not say what it may be taken apart into.
        """
        found = parts()
        if not found:
            raise TrainingError("--fsdp: this stage trains a network that fits every GPU; leave it out")
        mesh = init_device_mesh(self.share.device.type, (self.share.count,))
        policy = MixedPrecisionPolicy(torch.bfloat16, torch.float32) if half else MixedPrecisionPolicy()
        # diffusers' blocks end in a reshape; nothing changes their output in place.
        warnings.filterwarnings("ignore", "FSDP2-wrapped module .* returned a view tensor", UserWarning)
        for part in found:
            fully_shard(part, mesh=mesh, mp_policy=policy)
        # What lies outside of the parts is told poses and times, and stays in single precision.
        fully_shard(module, mesh=mesh)

    def share_gradients(self, module: nn.Module) -> nn.Module:
        """See `Processes`: sharded weights do that by themselves."""
        return module

    @torch.no_grad()
    def clip(self, parameters: Sequence[nn.Parameter], longest: float) -> float:
        """See `Processes`. PyTorch's own function would ask everybody once for each of hundreds of gradients."""
        parts = [p.grad.to_local() for p in parameters if isinstance(p.grad, DTensor)]
        squares = torch.stack([norm.square() for norm in torch._foreach_norm(parts)]).sum()
        norm = self._accelerator.reduce(squares, "sum").sqrt()
        torch._foreach_mul_(parts, (longest / (norm + 1e-6)).clamp(max=1.0))
        return norm.item()

    def gather(self, values: T) -> T:
        """See `Processes`. Hundreds of tensors travel together: each for itself would wait for everybody."""
        leaves, tree = tree_flatten(values)
        split = [index for index, leaf in enumerate(leaves) if isinstance(leaf, DTensor)]
        for bundle in bundles(split, [leaves[index].numel() for index in split]):
            whole = self._whole([leaves[index] for index in bundle])
            for index, value in zip(bundle, whole, strict=True):
                leaves[index] = value
        return tree_unflatten(leaves, tree)

    def _whole(self, parts: list[DTensor]) -> list[Tensor | None]:
        """Tensors put together on the CPU of the first process; None in the others."""
        count = self.share.count
        rows = [[rows_of(part, rank, count) for rank in range(count)] for part in parts]
        wide = [math.prod(part.shape[1:]) for part in parts]
        lengths = [sum(has[rank] * width for has, width in zip(rows, wide, strict=True)) for rank in range(count)]
        mine = torch.cat([part.to_local().detach().float().flatten() for part in parts])
        everybody = self._accelerator.gather(functional.pad(mine, (0, max(lengths) - len(mine))))
        if not self.first:
            return [None] * len(parts)
        pieces = [
            part[:length].cpu().split([has[rank] * width for has, width in zip(rows, wide, strict=True)])
            for rank, (part, length) in enumerate(zip(everybody.chunk(count), lengths, strict=True))
        ]
        return [
            torch.cat([piece[index] for piece in pieces]).to(part.dtype).view(part.shape)
            for index, part in enumerate(parts)
        ]

    def scatter(self, values: Mapping[str, Tensor], like: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """See `Processes`."""
        return {name: part_of(value, like[name]) if name in like else value for name, value in values.items()}


def bundles(indices: Sequence[int], sizes: Sequence[int]) -> Iterator[list[int]]:
    """Consecutive indices of values whose sizes sum up to about `BUNDLE`."""
    bundle, together = list[int](), 0
    for index, size in zip(indices, sizes, strict=True):
        bundle, together = [*bundle, index], together + size
        if together >= BUNDLE:
            yield bundle
            bundle, together = [], 0
    if bundle:
        yield bundle


def rows_of(part: DTensor, rank: int, count: int) -> int:
    """How many rows of a tensor a process keeps: those of a chunk, the last ones perhaps fewer or none."""
    chunk = -(-part.shape[0] // count)
    return min(chunk, max(0, part.shape[0] - rank * chunk))


def part_of(value: Tensor, like: Tensor) -> Tensor:
    """This process's part of a whole tensor, laid out as another one is; the tensor itself where that is whole."""
    if not isinstance(like, DTensor) or value.shape != like.shape:
        return value
    return distribute_tensor(value.to(like.device), like.device_mesh, like.placements, src_data_rank=None)
