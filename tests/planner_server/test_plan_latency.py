"""A plan of a Ctrl-World bundle at reduced size: the benchmark, and that models never make host and device wait."""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode

pytest.importorskip("diffusers", reason="the extra `full` is not installed")

from plan_protocol.server import Context
from planner_server.objective import LocalObjective

BENCHMARKS = Path(__file__).resolve().parents[2] / "benchmarks"
ATEN = torch.ops.aten
WAITING = {ATEN._local_scalar_dense.default, ATEN.nonzero.default, ATEN.masked_select.default, ATEN.lift_fresh.default}
"""Read by the host (item, bool, a mask as an index), or made from the host's numbers (tensor, new_tensor)."""
READING = ("cpu", "tolist")
"""Methods of a tensor by which the host reads many numbers: on a processor they call no operator."""


@pytest.fixture(autouse=True)
def bench(monkeypatch: pytest.MonkeyPatch) -> Any:
    """The benchmarks are scripts beside each other."""
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    torch.set_num_threads(1)
    import plan_bench

    return plan_bench


def test_the_benchmark_measures_all_ways_in_one_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    import plan_latency

    words = ["--size", "reduced", "--device", "cpu", "--candidates", "2", "--iterations", "1", "--steps", "1", "--json"]
    assert plan_latency.main([*words, str(tmp_path / "plan.json")]) == 0
    report = json.loads((tmp_path / "plan.json").read_text())
    ratio = report["ratio_to_reference"]
    assert set(ratio) == {"batched", "sequential"}
    numbers = [*ratio["batched"].values(), *ratio["sequential"].values(), report["ceiling_tflops"]]
    for key in ("plan_seconds", "tflops", "peak_gib"):
        assert set(report[key]) == {"1"}
        numbers += report[key].values()
    assert all(math.isfinite(number) and number > 0 for number in numbers)
    assert set(report["stages_ms"]) == {"encode_frames", "propose", "imagine", "score", "refine", "total"}
    assert report["machine"]["candidates"] == 2
    assert 0 < report["unet"]["gradient"]["share_of_ceiling"] < 1.5
    # The plain models plan the same, so what is timed is the same work.
    assert all(value < 1e-3 for way in report["largest_difference"].values() for value in way.values())
    assert "| 1 |" in capsys.readouterr().out


def test_what_cannot_be_measured_is_told_before_anything_is(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    import plan_latency

    monkeypatch.setattr(plan_latency, "random_bundle", lambda *_: pytest.fail("nothing is measured"))
    assert plan_latency.main(["--json", str(tmp_path / "none" / "plan.json")]) == 1
    assert "there is no such folder" in capsys.readouterr().err
    for words in (["--steps", "1,x"], ["--steps", "0"], ["--horizon", "-1"], ["--repeats", "0"]):
        with pytest.raises(SystemExit):
            plan_latency.main(words)
        assert "is not a whole number from 1 on" in capsys.readouterr().err


class Methods(TorchFunctionMode):
    """Tells of every use of `READING`."""

    def __init__(self, tell: Callable[[str], object]) -> None:
        super().__init__()
        self._tell = tell

    def __torch_function__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if getattr(function, "__name__", "") in READING:
            self._tell(function.__name__)
        return function(*args, **(kwargs or {}))


class Operators(TorchDispatchMode):
    """Tells of every operator in `WAITING`, and of masks as indices."""

    def __init__(self, tell: Callable[[str], object]) -> None:
        super().__init__()
        self._tell = tell

    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        masked = function is ATEN.index.Tensor and any(i is not None and i.dtype == torch.bool for i in args[1])
        if function in WAITING or masked:
            self._tell(str(function))
        return function(*args, **(kwargs or {}))


@contextmanager
def watched(tell: Callable[[str], object]) -> Iterator[None]:
    """Tells of what would make the host wait for a GPU, or a GPU for the host, on whatever device."""
    with Methods(tell), Operators(tell):
        yield


def refuse(what: str) -> None:
    pytest.fail(f"{what} makes the host and the device wait for each other")


def guarded(function: Callable) -> Callable:
    def never_waiting(*args: Any, **kwargs: Any) -> Any:
        with watched(refuse):
            return function(*args, **kwargs)

    return never_waiting


def reads(planner: Any, request: Any) -> Counter[str]:
    """How often the host reads a tensor's numbers in each stage of a plan."""
    counts: Counter[str] = Counter()
    stages = [""]

    def count(what: str) -> None:
        if what in (*READING, str(ATEN._local_scalar_dense.default)):
            counts[stages[-1]] += 1

    with watched(count):
        planner.plan(request, Context("bench", "bench", on_progress=lambda stage, _: stages.append(stage)))
    return counts


def test_a_plan_is_read_at_its_verdicts_alone(bench: Any) -> None:
    from full_size_bundle import random_bundle

    bundle, found = random_bundle("reduced", 4, "cpu"), []
    for steps, iterations in ((1, 1), (1, 1), (2, 1), (1, 3)):
        ours = bench.Bench(bundle, bench.Task(candidates=2, horizon=4, iterations=iterations, device="cpu"))
        found.append(reads(ours.planner(steps), bench.pictures(bundle, 0)))
    _, few, more_steps, more_gradients = found  # in the first, texts are embedded
    assert set(few) == {
        "encode_frames",
        "score",
        "refine",
    }  # the phase, then nothing before all that was imagined is in
    assert few["score"] <= 12
    assert few == more_steps
    assert more_gradients["score"] == few["score"]
    assert more_gradients["refine"] - few["refine"] == 2  # once per gradient


def test_models_objective_and_gradients_never_wait_for_the_host(bench: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    from full_size_bundle import random_bundle

    bundle = random_bundle("reduced", 4, "cpu")
    ours = bench.Bench(bundle, bench.Task(candidates=2, horizon=4, iterations=1, device="cpu"))
    warm, _ = ours.plan(2, 0)  # constants and the texts' embeddings are there from now on
    waiting: tuple[Callable[[Tensor], object], ...] = (bool, Tensor.tolist, Tensor.cpu, lambda x: torch.ones(1)[x > 0])
    for wait in waiting:
        with pytest.raises(pytest.fail.Exception):
            guarded(wait)(torch.ones(1))
    for part, names in ((bundle.world_model, ("imagine", "decode")), (bundle.semantic, ("relevance",))):
        for name in names:
            monkeypatch.setattr(part, name, guarded(getattr(part, name)))
    heads: Any = {name: guarded(getattr(bundle, name).forward) for name in ("uncertainty", "value")}
    for name, forward in heads.items():
        monkeypatch.setattr(getattr(bundle, name), "forward", forward)
    monkeypatch.setattr(LocalObjective, "__call__", guarded(LocalObjective.__call__))
    grad = torch.autograd.grad  # calls itself by name where methods are watched

    def guarded_grad(*args: Any, **kwargs: Any) -> Any:
        with Operators(refuse):
            return grad(*args, **kwargs)

    monkeypatch.setattr(torch.autograd, "grad", guarded_grad)
    again, _ = replace(ours, bundle=bundle).plan(2, 0)
    assert [c.reward for c in again.candidates] == pytest.approx([c.reward for c in warm.candidates], abs=1e-5)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_a_gpu_is_never_waited_for_within_the_models(bench: Any) -> None:
    from full_size_bundle import random_bundle

    bundle = random_bundle("reduced", 4, "cuda")
    model = bundle.world_model
    history = model.encode(torch.from_numpy(bench.pictures(bundle, 0).observation.images)[None])
    noise = model.initial_noise(history, torch.Generator().manual_seed(0))
    poses = torch.randn(1, 9, 7, device="cuda")

    def judge() -> None:
        actions = poses[:, 5:].clone().requires_grad_()
        o = model.imagine(history, poses[:, :5], actions, noise=noise, steps=2, instruction=bench.INSTRUCTION)
        bundle.uncertainty(o)
        value = bundle.value.expected(bundle.value(o, bundle.semantic.relevance(o.latents, "carrot")))
        torch.autograd.grad(value.sum(), actions)

    judge()  # texts are encoded once
    torch.cuda.set_sync_debug_mode("error")
    try:
        judge()
    finally:
        torch.cuda.set_sync_debug_mode("default")
