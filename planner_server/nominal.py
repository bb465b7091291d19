"""The baseline of the paper's Table 1: do what the policy says. Nothing is imagined, judged or refined."""

from __future__ import annotations

import time
from collections.abc import Sequence

import numpy as np

from models.bundle import Bundle
from plan_protocol.messages import Candidate, Plan, PlanRequest
from plan_protocol.server import Context
from planner_server.config import PlannerConfig
from planner_server.errors import StartError
from planner_server.limits import Limits, project
from planner_server.planner import Planner
from planner_server.proposers.interfaces import Proposal, Proposer
from planner_server.proposers.openpi import OpenPiPolicy, OpenPiProposer
from planner_server.service import arms_of, limits_of
from planner_server.stages import Stages
from robot_model.kinematics import ArmKinematics

HOLD = "hold"
"""Name of the chunk that stays where the arm is: the policy had nothing to offer."""


class NominalPlanner(Planner):
    """A `Planner` whose plan is the policy's chunk as it is: through the adapter to poses, projected onto the limits.

    Its one candidate has no reward and no uncertainty (zeros), for nobody judged it. Without an answer of the policy
    the arm stays where it is, and the proposer's note says why.
    """

    def __init__(
        self,
        bundle: Bundle,
        nominal: Proposer,
        arms: Sequence[ArmKinematics],
        limits: Limits,
        config: PlannerConfig,
    ):
        super().__init__(bundle, (nominal,), arms, limits, config)
        self._nominal = nominal

    def plan(self, request: PlanRequest, context: Context) -> Plan:
        """The policy's chunk.

        Raises:
            BadRequestError: The request does not fit the bundle.
            CancelledError: The context was cancelled.
        """
        begun = time.perf_counter()
        stage = Stages(context, self._device)
        self._check(request)
        with stage("propose"):
            situation = self._situation(request, context.robot_id)
            offer = self._nominal.propose(situation, np.random.default_rng(request.seed))
            stay = Proposal(HOLD, np.tile(situation.start, (len(situation.times), 1)))
            chosen = offer.proposals[0] if offer.proposals else stay
            poses = project(chosen.poses, situation.start, self.limits)
        return Plan(
            observation_stamp=request.observation_stamp,
            times=situation.times,
            poses=poses,
            candidates=(Candidate(chosen.name, poses, 0.0, 0.0, 0.0, 0.0, weight=1.0, value=0.0),),
            chosen=0,
            refined=False,
            objective=(0.0, 0.0),
            uncertainty=0.0,
            proposers={self._nominal.name: offer.note},
            timings={**stage.timings, "total": 1e3 * (time.perf_counter() - begun)},
        )


def build_nominal(bundle: Bundle, config: PlannerConfig, policy: OpenPiPolicy | None) -> NominalPlanner:
    """The baseline on a bundle: its cameras, speeds and workspace are those of the planner it is compared with.

    Raises:
        StartError: There is no policy.
    """
    if policy is None:
        raise StartError("nominal mode does what a policy says: name one with --policy ws://HOST:PORT")
    nominal = OpenPiProposer(policy, 0, 0.0, 0.0, 0.0)
    return NominalPlanner(bundle, nominal, arms_of(bundle), limits_of(bundle, config), config)
