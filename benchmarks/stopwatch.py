"""Seconds, floating point operations, memory, and what matrix products reach: on a processor or on a GPU."""

from __future__ import annotations

import gc
import resource
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode, sdpa_backward_flop_count, sdpa_flop_count

PRODUCTS = 10
ATEN = torch.ops.aten


def timed(device: str, work: Callable[[], Any]) -> tuple[Any, float]:
    """What the work answers, and its seconds.

    On a processor they are this process's processor time, which other work on the machine does not lengthen; on a GPU
    what the clock on the wall says.
    """
    clock = time.process_time if device == "cpu" else time.perf_counter
    settle(device)
    begun = clock()
    answer = work()
    settle(device)
    return answer, clock() - begun


def settle(device: str) -> None:
    if device == "cuda":
        torch.cuda.synchronize()


def counted(work: Callable[[], Any]) -> float:
    """Floating point operations of networks that are not compiled, a multiply-add being two."""

    def forward(q: Any, k: Any, v: Any, *_: Any, **__: Any) -> int:
        return sdpa_flop_count(q, k, v)

    def backward(grad: Any, q: Any, k: Any, v: Any, *_: Any, **__: Any) -> int:
        return sdpa_backward_flop_count(grad, q, k, v)

    of_a_processor = {
        ATEN._scaled_dot_product_flash_attention_for_cpu: forward,
        ATEN._scaled_dot_product_flash_attention_for_cpu_backward: backward,
    }
    with FlopCounterMode(display=False, custom_mapping=of_a_processor) as counter:
        work()
    return float(counter.get_total_flops())


def matmul_ceiling(device: str) -> float:
    """TFLOP/s of the best of several products of large square matrices."""
    size, precision = (8192, torch.bfloat16) if device == "cuda" else (1024, torch.float32)
    a, b = (torch.randn(size, size, device=device, dtype=precision) for _ in range(2))

    def product() -> Tensor:
        return a @ b

    best = min(timed(device, product)[1] for _ in range(PRODUCTS))
    return 2 * size**3 / best / 1e12


def forget_peak(device: str) -> None:
    gc.collect()
    if device == "cuda":
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()
    elif Path("/proc/self/clear_refs").exists():
        Path("/proc/self/clear_refs").write_text("5")  # Linux: the highest resident size counts from here on


def peak_gib(device: str) -> float:
    """Of the GPU's tensors, or of this whole process."""
    if device == "cuda":
        return torch.cuda.max_memory_allocated() / 2**30
    status = Path("/proc/self/status")
    if status.exists():
        line = next(line for line in status.read_text().splitlines() if line.startswith("VmHWM"))
        return int(line.split()[1]) / 2**20
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
