"""The baseline: a plan is the policy's chunk, within the limits, and nothing else is computed."""

from __future__ import annotations

import numpy as np
import pytest
from planner_fakes import ARMS, LIMITS, START, H, ToyBundle, ToyContext, request
from policy_server import Scripted, served

from models.testing import random_bundle
from plan_protocol.errors import CancelledError
from plan_protocol.messages import Plan
from planner_server.config import PlannerConfig
from planner_server.errors import BadRequestError, StartError
from planner_server.limits import project
from planner_server.nominal import NominalPlanner, build_nominal
from planner_server.proposers.openpi import OpenPiPolicy, OpenPiProposer
from planner_server.service import open_bundle

NOWHERE = "ws://127.0.0.1:9"


class Blind(ToyBundle):
    """A bundle whose models must not be asked."""

    def __getattribute__(self, name: str) -> object:
        assert name in ("config", "hash") or name.startswith("__"), f"the baseline used {name}"
        return super().__getattribute__(name)


def turning(speed: float) -> np.ndarray:
    actions = np.zeros((30, 8))
    actions[:, 0] = speed
    actions[9:, 7] = 0.9
    return actions


def planner(policy: OpenPiPolicy) -> NominalPlanner:
    proposer = OpenPiProposer(policy, 0, 0.0, 0.0, 0.0)
    return NominalPlanner(Blind(), proposer, ARMS, LIMITS, PlannerConfig())  # type: ignore[arg-type]


def plan_of(actions: np.ndarray | Exception, **changes: object) -> Plan:
    with served(Scripted(actions)) as address:
        policy = OpenPiPolicy(address, 0, 2, patience=10)
        plan = planner(policy).plan(request(**changes), ToyContext())
        policy.close()
    return plan


def test_the_plan_is_the_policys_chunk() -> None:
    plan = plan_of(turning(0.02))
    angles = np.arctan2(plan.poses[:, 1], plan.poses[:, 0])
    assert np.allclose(angles, 0.02 * 0.2 * 3 * np.arange(1, H + 1), atol=1e-9)
    assert (plan.poses[:, 6] > 0.4).tolist() == [0, 0, 0, 1, 1]
    assert [candidate.name for candidate in plan.candidates] == ["policy"]
    assert (plan.chosen, plan.refined, plan.uncertainty, plan.imagination) == (0, False, 0.0, None)
    assert "answered in time" in plan.proposers["policy"]
    assert np.allclose(plan.times, 10.0 + 0.2 * np.arange(1, H + 1))


def test_what_is_too_fast_is_brought_within_the_limits() -> None:
    plan = plan_of(turning(1.0))
    start = np.array([*START[:6], plan.poses[0, 6]])
    assert np.allclose(project(plan.poses, START, LIMITS), plan.poses, atol=1e-9)
    steps = np.linalg.norm(np.diff(np.vstack([start, plan.poses])[:, :3], axis=0), axis=1)
    assert steps.max() == pytest.approx(LIMITS.max_linear_speed * LIMITS.frame_period, rel=1e-3)


def test_the_chunk_begins_after_what_is_committed() -> None:
    committed = np.tile(START, (2, 1))
    plan = plan_of(turning(0.02), committed=committed)
    assert np.allclose(plan.times, 10.0 + 0.2 * (2 + np.arange(1, H + 1)))
    assert (plan.poses[:, 6] > 0.4).tolist() == [0, 1, 1, 1, 1], "six of the actions are over"


def test_without_an_answer_the_arm_stays_and_the_plan_says_why() -> None:
    policy = OpenPiPolicy(NOWHERE, 0, 2, patience=10)
    plan = planner(policy).plan(request(committed=np.tile(START, (1, 1))), ToyContext())
    policy.close()
    assert np.array_equal(plan.poses, np.tile(START, (H, 1)))
    assert plan.candidates[0].name == "hold"
    assert f"no policy server at {NOWHERE}" in plan.proposers["policy"]
    assert "out of memory" in plan_of(ValueError("out of memory")).proposers["policy"]


def test_requests_are_checked_and_can_be_cancelled() -> None:
    policy = OpenPiPolicy(NOWHERE, 0, 2, patience=10)
    with pytest.raises(BadRequestError, match="the instruction is empty"):
        planner(policy)(request(instruction=" "), ToyContext())
    cancelled = ToyContext()
    cancelled.cancel()
    with pytest.raises(CancelledError):
        planner(policy)(request(), cancelled)
    policy.close()


def test_it_is_built_on_a_bundle_and_needs_a_policy(tmp_path) -> None:
    bundle = open_bundle(random_bundle(tmp_path), "cpu")
    with pytest.raises(StartError, match="--policy ws://HOST:PORT"):
        build_nominal(bundle, PlannerConfig(), None)
    policy = OpenPiPolicy(NOWHERE, 0, 2, patience=0)
    nominal = build_nominal(bundle, PlannerConfig(), policy)
    assert nominal.limits.workspace_lower == bundle.config.workspace_lower
    policy.close()
