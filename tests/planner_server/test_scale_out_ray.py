"""Two replicas as actors of a Ray on this machine."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest

pytest.importorskip("ray", reason="the extra `ray` is not installed")

import ray

from models.testing import random_bundle
from plan_protocol.messages import Plan, PlanRequest
from plan_protocol.server import Context
from planner_server.config import PlannerConfig
from planner_server.errors import StartError
from planner_server.scale_out.on_ray import LOCAL, RayFleet, connect
from planner_server.scale_out.replica import Replica
from planner_server.service import Recipe, blank_request

CONFIG = PlannerConfig(iterations=1, unsure=1.0, flow_steps=1)
WAIT = 120.0


@pytest.fixture(scope="module")
def recipe(tmp_path_factory: pytest.TempPathFactory) -> Recipe:
    return Recipe(random_bundle(tmp_path_factory.mktemp("ray")), "cpu", CONFIG, threads=1)


@pytest.fixture(scope="module")
def fleet(recipe: Recipe) -> Iterator[RayFleet]:
    connect(LOCAL, num_cpus=2, object_store_memory=80 * 2**20)
    try:
        with pytest.raises(StartError, match="3 replicas need 3 CPUs, and this Ray cluster has 2"):
            RayFleet(recipe, LOCAL, 3)
        with pytest.raises(StartError, match="say --device cuda"):
            RayFleet(replace(recipe, device="cuda:1"), LOCAL, 2)
        fleet = RayFleet(recipe, LOCAL, 2)
        yield fleet
        fleet.close()
    finally:
        ray.shutdown()


def process_of(fleet: RayFleet, index: int) -> int:
    """The process of a replica, asked for in it."""
    return ray.get(fleet.links[index].handle.__ray_call__.remote(lambda replica: os.getpid()))


def wait_until_back(fleet: RayFleet, index: int) -> None:
    ray.get(fleet.links[index].handle.ready.options(max_task_retries=-1).remote(), timeout=WAIT)


def frozen_then_killed(fleet: RayFleet, index: int, request: PlanRequest, robot: str) -> Plan:
    """A plan during which a replica stops, with work given to it, and then dies."""
    process, plans = process_of(fleet, index), list[Plan]()
    os.kill(process, signal.SIGSTOP)
    thread = threading.Thread(target=lambda: plans.append(fleet(request, Context(robot, "s"))))
    thread.start()
    time.sleep(0.5)
    os.kill(process, signal.SIGKILL)
    thread.join(WAIT)
    assert plans, "no plan"
    return plans[0]


def same(one: Plan, other: Plan) -> None:
    assert one.chosen == other.chosen
    assert np.allclose(one.poses, other.poses, atol=1e-5)
    for ours, theirs in zip(one.candidates, other.candidates, strict=True):
        assert ours.reward == pytest.approx(theirs.reward, abs=1e-4)
        assert ours.uncertainty == pytest.approx(theirs.uncertainty, abs=1e-4)


def test_two_replicas_plan_as_one_and_survive_the_death_of_either(recipe: Recipe, fleet: RayFleet) -> None:
    alone = Replica(recipe)
    images = np.random.default_rng(0).integers(0, 255, (2, 3, 48, 80, 3), np.uint8)
    request = blank_request(alone._crew.bench.bundle)
    request = replace(request, observation=replace(request.observation, images=images), seed=5, deadline=WAIT)
    *_, expected = alone.plan(0, request, "arm", "s", None)
    assert fleet.spec.plan_latency > 0

    stages: list[str] = []
    same(expected, fleet(request, Context("a", "s", on_progress=lambda stage, share: stages.append(stage))))
    assert stages[:3] == ["encode_frames", "propose", "imagine"]

    # The first replica leads, the second has a share of its candidates.
    same(expected, frozen_then_killed(fleet, 1, request, "b"))
    # The first leads and is lost with the whole plan; the second, started again by Ray, takes it over.
    wait_until_back(fleet, 1)
    first = process_of(fleet, 0)
    same(expected, frozen_then_killed(fleet, 0, request, "c"))
    wait_until_back(fleet, 0)
    assert process_of(fleet, 0) != first
    same(expected, fleet(request, Context("d", "s")))
