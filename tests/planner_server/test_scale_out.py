"""Replicas without Ray: shared batches give the same plans, and what a lost one owes is done by another."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from models.bundle import read_config
from models.testing import random_bundle
from models.uncertainty.familiarity import Familiarity, FamiliarityConfig, save_familiarity
from plan_protocol.errors import BusyError, CancelledError
from plan_protocol.messages import Plan, PlanRequest
from plan_protocol.server import Context
from planner_server.config import PlannerConfig
from planner_server.errors import BadRequestError, StartError
from planner_server.scale_out.fleet import Fleet
from planner_server.scale_out.replica import Replica
from planner_server.scale_out.sharing import Arrays, LostError, Workbench
from planner_server.service import Recipe, blank_request

CONFIG = PlannerConfig(iterations=1, unsure=1.0, flow_steps=1)


@pytest.fixture(scope="module")
def recipe(tmp_path_factory: pytest.TempPathFactory) -> Recipe:
    torch.manual_seed(0)
    folder = random_bundle(tmp_path_factory.mktemp("scale"))
    spec = read_config(folder)
    part = Familiarity(FamiliarityConfig.of(spec.semantic, (6, 10), classes=5)).requires_grad_(False)
    part.output.bias[-1] = -20.0  # where nothing is known no candidate earns anything, and rounding chooses the winner
    save_familiarity(part, folder)
    return Recipe(folder, "cpu", CONFIG, threads=1)


@pytest.fixture(scope="module")
def alone(recipe: Recipe) -> Replica:
    return Replica(recipe)


@pytest.fixture(scope="module")
def request_(alone: Replica) -> PlanRequest:
    images = np.random.default_rng(0).integers(0, 255, (2, 3, 48, 80, 3), np.uint8)
    blank = blank_request(alone._crew.bench.bundle)
    return replace(blank, observation=replace(blank.observation, images=images), seed=5)


class Near:
    """A peer in this process that keeps what it is asked, and may be lost with it."""

    def __init__(self, bench: Workbench, lost: bool = False) -> None:
        self.bench, self.lost, self.asked = bench, lost, list[tuple[str, dict[str, int]]]()

    def up(self) -> bool:
        return True

    def submit(self, part: str, arrays: Arrays, options: Any) -> Near:
        self.asked.append((part, {name: len(array) for name, array in arrays.items()}))
        self._work = lambda: self.bench.work(part, arrays, options)
        return self

    def result(self, patience: float) -> Arrays:
        assert patience >= 2.0
        if self.lost:
            raise LostError("gone")
        return self._work()


def planned(replica: Replica, request: PlanRequest) -> Plan:
    *stages, plan = replica.plan(0, request, "arm", "s", None)
    assert [stage for stage, _ in stages][:3] == ["encode_frames", "propose", "imagine"]
    return plan


def same(one: Plan, other: Plan) -> None:
    assert one.chosen == other.chosen
    assert np.allclose(one.poses, other.poses, atol=1e-5)
    for ours, theirs in zip(one.candidates, other.candidates, strict=True):
        assert ours.name == theirs.name
        for field in ("reward", "relevance", "uncertainty", "value", "weight", "distance"):
            assert getattr(ours, field) == pytest.approx(getattr(theirs, field), abs=1e-4)


@pytest.mark.parametrize("lost", [(False,), (False, False), (True, False)])
def test_shared_batches_make_the_same_plan(alone: Replica, recipe: Recipe, request_: PlanRequest, lost) -> None:
    peers = [Near(alone._crew.bench, gone) for gone in lost]
    lead = Replica(recipe, lambda: peers)
    plan = planned(lead, request_)
    same(planned(alone, request_), plan)
    count, sharers = len(plan.candidates), 1 + len(peers)
    sizes = [len(part) for part in np.array_split(np.arange(count), sharers)]
    for peer, size in zip(peers, sizes[1:], strict=True):
        first = peer.asked[0]
        # What all candidates have in common travels once.
        assert first == ("imagine", {"history": 1, "history_poses": 1, "actions": size, "noise": 1})
        assert ("relevance", {"latents": size}) in peer.asked


def test_gradients_and_single_chunks_stay(alone: Replica, recipe: Recipe) -> None:
    peer = Near(alone._crew.bench)
    lead = Replica(recipe, lambda: [peer])
    bundle, model = lead._planner._bundle, alone._crew.bench.bundle.world_model
    history, poses = torch.randn(2, 2, 48, 18, 10), torch.zeros(2, 2, 7)
    noise = model.initial_noise(history, torch.Generator().manual_seed(0))
    actions = torch.zeros(2, 5, 7, requires_grad=True)
    o = bundle.world_model.imagine(history, poses, actions, noise=noise)
    bundle.value.expected(bundle.value(o, bundle.semantic.relevance(o.latents, "carrot"))).sum().backward()
    assert actions.grad is not None
    with torch.no_grad():
        bundle.uncertainty(bundle.world_model.imagine(history[:1], poses[:1], actions[:1], noise=noise[:1]))
        assert not peer.asked
        bundle.world_model.imagine(history, poses, actions)
        assert not peer.asked, "noise that is drawn on the way would depend on who imagines"


def test_a_bundle_that_is_not_there_is_told_when_asked(tmp_path: Path) -> None:
    with pytest.raises(StartError, match=r"bundle\.json is missing"):
        Replica(Recipe(tmp_path, "cpu", CONFIG)).ready()


class Local:
    """A replica of a fleet in this process, which may die after some of a plan's stages."""

    def __init__(self, replica: Replica, dies: Callable[[], bool] = lambda: False) -> None:
        self.replica, self.dies, self.alive, self.asked = replica, dies, True, list[tuple[Any, ...]]()
        self.cancelled: list[int] = []

    def up(self) -> bool:
        return self.alive

    def plan(self, *arguments: Any) -> Iterator[Any]:
        self.asked.append(arguments)
        yield None
        for item in self.replica.plan(*arguments):
            if self.dies():
                self.alive = False
                raise LostError("died")
            yield item

    def cancel(self, number: int) -> None:
        self.cancelled.append(number)
        self.replica.cancel(number)


def test_a_plan_of_a_replica_that_dies_is_made_again_and_goes_on_from_the_robots_last(
    alone: Replica, recipe: Recipe, request_: PlanRequest
) -> None:
    # A replica shares nothing with another: what one that died was at work on must not reach its heir.
    whole, doomed, heir = Local(alone), Local(Replica(recipe)), Local(Replica(recipe))
    second = replace(request_, observation=replace(request_.observation, stamps=request_.observation.stamps + 0.4))
    expected = [Fleet([whole])(request_, Context("arm", "s"))]
    expected.append(Fleet([whole])(second, Context("other", "s")))
    fleet = Fleet([doomed, heir])
    fleet(request_, Context("arm", "s"))
    doomed.dies = lambda: True
    stages: list[str] = []
    plan = fleet(second, Context("arm", "s", on_progress=lambda stage, share: stages.append(stage)))
    assert not doomed.alive
    assert stages[:2] == ["encode_frames", "propose"]
    given = heir.asked[0][-1]
    assert np.array_equal(given[1], expected[0].poses), "the heir knows the robot's previous plan"
    assert plan.proposers["previous"].startswith("the previous chunk")
    fleet.reset("arm")
    same(expected[1], fleet(second, Context("arm", "s")))
    assert heir.asked[-1][-1] is None


def test_robots_are_given_to_the_least_busy_replica_and_stay_there(alone: Replica, request_: PlanRequest) -> None:
    members = [Local(alone), Local(alone)]
    fleet, hold = Fleet(members), threading.Event()
    waiting = members[0].plan

    def held(*arguments: Any) -> Iterator[Any]:
        assert hold.wait(30)
        yield from waiting(*arguments)

    members[0].plan = held  # type: ignore[method-assign]
    first = threading.Thread(target=fleet, args=(request_, Context("left", "s")))
    first.start()
    while not any(fleet._busy):
        time.sleep(0.01)
    fleet(request_, Context("right", "s"))
    assert [arguments[2] for arguments in members[1].asked] == ["right"]
    hold.set()
    first.join(30)
    fleet(request_, Context("right", "s"))
    assert [arguments[2] for arguments in members[1].asked] == ["right", "right"]
    assert fleet._busy == [0, 0]


def test_cancelling_reaches_the_replica_and_refusals_reach_the_robot(alone: Replica, request_: PlanRequest) -> None:
    member = Local(alone)
    fleet, context = Fleet([member]), Context("arm", "s")
    context.on_progress = lambda stage, share: context.cancel()
    with pytest.raises(CancelledError):
        fleet(request_, context)
    assert member.cancelled == [0]
    with pytest.raises(BadRequestError, match="instruction"):
        fleet(replace(request_, instruction=" "), Context("arm", "s"))
    member.alive = False
    with pytest.raises(BusyError, match="none of 1 replicas is up"):
        fleet(replace(request_, deadline=0.05), Context("arm", "s"))
