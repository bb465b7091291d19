"""Algorithm 3 of the paper: propose, imagine, distrust, choose, refine. Read `Planner.plan`, then `Planner.judge`."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from models.bundle import Bundle
from models.interfaces import Imagined, Uncertainty
from plan_protocol.messages import Plan, PlanRequest
from plan_protocol.server import Context
from planner_server.alignment import LongAxis, long_axis, riding, yaw_reach
from planner_server.approach import beyond, metres_aside
from planner_server.centring import centres_of
from planner_server.config import PlannerConfig
from planner_server.errors import BadRequestError
from planner_server.fingers import closed_on_nothing, held_gripper
from planner_server.ground import metres_apart, place_of
from planner_server.imagination import Scene, shared_noise
from planner_server.instruction import Task, understand
from planner_server.judgement import Evidence, Judgement
from planner_server.limits import Limits, project
from planner_server.local_planners.choose import local_planner
from planner_server.local_planners.interfaces import Budget, Problem
from planner_server.local_planners.none import Unrefined
from planner_server.objective import LocalObjective
from planner_server.phase import Phase, phase_of
from planner_server.proposers.interfaces import Proposal, Proposer, Situation
from planner_server.render import render
from planner_server.scoring import reached, sureness
from planner_server.stages import Stages
from planner_server.strangeness import believed, strange_things
from robot_model.conventions import PINCH_OFFSET
from robot_model.kinematics import ArmKinematics


class Planner:
    """VidPlan's planner over one bundle of models.

    The names are the paper's: ``a`` action chunks, ``o`` imagined observations, ``h`` uncertainty, ``r`` rewards,
    ``V`` value, ``w`` the uncertainty weight.

    Attributes:
        limits: What every returned chunk satisfies.
        config: Constants.
    """

    def __init__(
        self,
        bundle: Bundle,
        proposers: Sequence[Proposer],
        arms: Sequence[ArmKinematics],
        limits: Limits,
        config: PlannerConfig,
        device: str = "cpu",
    ):
        self.limits = limits
        self.config = config
        self._bundle = bundle
        self._proposers = tuple(proposers)
        self._arms = tuple(arms)
        self._local_planner = local_planner(config)
        self._device = torch.device(device)

    def plan(self, request: PlanRequest, context: Context) -> Plan:
        """Algorithm 3: from history frames o and instruction l to the next action chunk a*.

        Raises:
            BadRequestError: The request does not fit the bundle.
            CancelledError: The context was cancelled; checked between the stages and between the iterations.
        """
        begun = time.perf_counter()
        stage = Stages(context, self._device)
        judged = self.judge(request, context, stage)  # propose, imagine, distrust, choose
        winner, situation = judged.winner, judged.situation

        with stage("refine"):  # local planner: GradOpt, K iterations; what cannot be trusted is not climbed
            local_planner = Unrefined() if judged.doubt else self._local_planner
            budget = Budget(self.config.iterations, check=stage.check)
            objective = self.objective(judged, request.seed)
            local = local_planner.refine(self.problem(judged, objective), budget)
            a = local.chunk.double().cpu().numpy()
            a = project(a, situation.start, judged.limits) if local.refined else winner
            future = objective.future(self._tensor(a))

        imagination = None
        if request.frames_wanted:
            with stage("render"), torch.no_grad():
                imagination = render(self._bundle.world_model, future.latents[None], future.h[None])

        self.remember(context.robot_id, situation.times, a)
        return Plan(
            observation_stamp=request.observation_stamp,
            times=situation.times,
            poses=a,
            candidates=judged.candidates(),
            chosen=judged.best,
            refined=local.refined,
            objective=(local.before, local.after),
            uncertainty=float(future.h.mean()),
            proposers=judged.notes,
            timings={**stage.timings, "total": 1e3 * (time.perf_counter() - begun)},
            imagination=imagination,
            status="uncertain" if judged.doubt else "confident",
            doubt=judged.doubt,
        )

    def judge(self, request: PlanRequest, context: Context, stage: Stages | None = None) -> Judgement:
        """The global planner, Algorithm 3 up to its arg max: what `plan` refines, with all that it was chosen by.

        Args:
            request: As for `plan`.
            context: As for `plan`.
            stage: Stopwatch of the plan that this is a part of.

        Raises:
            BadRequestError: The request does not fit the bundle.
            CancelledError: The context was cancelled.
        """
        stage = stage or Stages(context, self._device)
        self._check(request)
        task, spec = understand(request.instruction), self._bundle.config
        fingers = request.observation.poses[:, 6]

        with stage("encode_frames"), torch.no_grad():
            now, scene = self._observe(request)
            pose = now.poses[0, -1].double().cpu().numpy()
            phase, seen = self._phase(task, now, pose, fingers)
            phrase = phase.phrase(task)

        with stage("propose"):  # A = {a^i} <- u(o, l)
            situation = self._situation(request, context.robot_id)
            limits = self._allowed(fingers, phase)
            proposals, notes = self._propose(situation, request.seed, limits)
            A = np.stack([proposal.poses for proposal in proposals])

        with stage("imagine"), torch.no_grad():  # o^i, h^i <- V_theta(o, a^i), U_beta(.)
            poses = self._tensor(A)
            o, h = self._imagine(scene, poses)

        with stage("score"), torch.no_grad():  # r^i <- w(h^i) R(o^i, a^i), arg max over i
            relevance = {p: self._bundle.semantic.relevance(o.latents, p) for p in {phrase, task.target}}
            V = reached(self._bundle.value.expected(self._bundle.value(o, relevance[task.target]))).mean(1)
            strange = strange_things(self._bundle, now.history[:, -1], seen, pose, self.config)
            trusted = believed(seen, strange.now, self.config) * sureness(h.h[:, 0], seen.shape, self.config)
            place, axis = self._seen_at(trusted, pose, situation)
            aside = metres_aside(poses, place)
            c = centres_of(spec.cameras, spec.image_size, poses, beyond(aside, phase.at_goal, self.config))
            views, (travel, toggles) = self._view_weights(), self._travel(A, situation.start)
            evidence = Evidence(A, relevance[phrase], h.h, c, aside, seen, strange, views, travel, toggles, V)
            r = evidence.scores(self.config)
            doubt = evidence.doubt(self.config)  # where no future can be trusted, the one that teaches most wins
            reward = r.exploration if doubt else evidence.reward(r, self.config)
        return Judgement(
            task,
            phase,
            scene,
            situation,
            limits,
            place,
            None if phase.at_goal else axis,
            tuple(proposals),
            notes,
            evidence,
            r,
            reward,
            doubt,
        )

    def objective(self, judged: Judgement, seed: int) -> LocalObjective:
        """J around a judgement; ``seed`` is that of the request."""
        return LocalObjective(self._bundle, judged, self.config, seed)

    def problem(self, judged: Judgement, objective: LocalObjective) -> Problem:
        """What the local planner may improve: the winner, under J."""
        winner, start = self._tensor(judged.winner), self._tensor(judged.situation.start)
        return Problem(winner, start, objective, judged.limits, objective.seed)

    def __call__(self, request: PlanRequest, context: Context) -> Plan:
        """The same as `plan`: what `PlanServer` calls."""
        return self.plan(request, context)

    def remember(self, robot_id: str, times: np.ndarray, poses: np.ndarray) -> None:
        """Take note of the plan ``(H, 7)`` at ``times`` that a robot was given: what comes next may go on from it."""
        for proposer in self._proposers:
            proposer.remember(robot_id, times, poses)

    def reset(self, robot_id: str) -> None:
        """Forget the previous plan of a robot: a new task begins."""
        for proposer in self._proposers:
            proposer.forget(robot_id)

    def _observe(self, request: PlanRequest) -> tuple[Scene, Scene]:
        """The scene as seen, and after the committed prefix, which the plan cannot change any more, imagined."""
        model, spec = self._bundle.world_model, self._bundle.config
        images = torch.from_numpy(np.ascontiguousarray(request.observation.images))
        history = model.encode(images[None])
        noise = shared_noise(model, history, request.seed)
        now = Scene(history, self._tensor(request.observation.poses[None]), noise, request.instruction)
        if not len(request.committed):
            return now, now
        committed = self._tensor(request.committed)
        return now, now.after(model, committed, spec.history_offsets, self.config.flow_steps, spec.horizon)

    def _phase(self, task: Task, now: Scene, pose: np.ndarray, fingers: np.ndarray) -> tuple[Phase, Tensor]:
        """How far the task is, and the relevance ``(V, a, b)`` of what is looked for then in the newest frame."""
        target = self._bundle.semantic.relevance(now.history[:, -1:], task.target)[0, 0]
        if not task.goal:
            return Phase.FETCH, target
        goal = self._bundle.semantic.relevance(now.history[:, -1:], task.goal)[0, 0]
        spec, config = self._bundle.config, self.config
        maps = target.cpu().numpy(), goal.cpu().numpy()
        apart = metres_apart(*maps, spec.cameras, spec.image_size, pose, config.visible, config.region)
        phase = phase_of(fingers, apart)
        return phase, goal if phase.at_goal else target

    def _situation(self, request: PlanRequest, robot_id: str) -> Situation:
        # Panda and FR3 share the chain but not the ranges, and a request does not say which arm it is.
        arm = next((arm for arm in self._arms if arm.franka.within(request.start_joints)), self._arms[0])
        period, horizon, P = self._bundle.config.frame_period, self._bundle.config.horizon, len(request.committed)
        if P:
            start = request.committed[-1].copy()
        else:
            flange = arm.forward_pose(request.start_joints)
            start = np.array([*flange, held_gripper(request.observation.poses[-1, 6])])
        return Situation(
            robot_id=robot_id,
            instruction=request.instruction,
            start=start,
            start_joints=request.start_joints,
            times=request.observation_stamp + (P + 1 + np.arange(horizon)) * period,
            frame_period=period,
            kinematics=arm,
            observation=request.observation,
        )

    def _propose(self, situation: Situation, seed: int, limits: Limits) -> tuple[list[Proposal], dict[str, str]]:
        """All proposers' candidates, projected onto the limits, and a note per proposer."""
        rng = np.random.default_rng(seed)
        found: list[Proposal] = []
        notes = {}
        for proposer in self._proposers:
            offer = proposer.propose(situation, rng)
            found += offer.proposals
            notes[proposer.name] = offer.note
        feasible = project(np.stack([proposal.poses for proposal in found]), situation.start, limits)
        return [replace(proposal, poses=poses) for proposal, poses in zip(found, feasible, strict=True)], notes

    def _allowed(self, fingers: np.ndarray, phase: Phase) -> Limits:
        """What holds for chunks now.

        Something held is carried clear of the table, and where it was let go the hand stays as high and open; fingers
        that met open again.
        """
        opened = phase is Phase.DELIVERED or (phase is Phase.FETCH and closed_on_nothing(fingers))
        limits = replace(self.limits, max_gripper=0.0) if opened else self.limits
        return limits.above(self.config.carry_clearance + PINCH_OFFSET[2, 3]) if phase.at_goal else limits

    def _seen_at(
        self, seen: Tensor, pose: np.ndarray, situation: Situation
    ) -> tuple[np.ndarray | None, LongAxis | None]:
        """Place and long axis of what is looked for, from its weighted relevance ``(V, a, b)`` in the newest frame."""
        spec, config = self._bundle.config, self.config
        relevance = seen.cpu().numpy()
        place = place_of(relevance, spec.cameras, spec.image_size, pose, config.visible, config.region)
        view = riding(spec.cameras)
        if view is None or relevance[view].max() < config.visible:
            return place, None
        axis = long_axis(relevance[view], spec.cameras[view], spec.image_size, pose, config.region)
        if axis is None:
            return place, None
        arm, joints = situation.kinematics, situation.start_joints
        start = np.append(arm.forward_pose(joints), 0.0)
        return place, replace(axis, reach=yaw_reach(start, joints, arm.franka))

    def _imagine(self, scene: Scene, actions: Tensor) -> tuple[Imagined, Uncertainty]:
        imagined = scene.imagine(self._bundle.world_model, actions, self.config.flow_steps)
        return imagined, self._bundle.uncertainty(imagined)

    def _view_weights(self) -> Tensor:
        """Weight ``(V,)`` of each view in the reward; one for all where nobody knows which camera rides."""
        riding = [camera.rides for camera in self._bundle.config.cameras] or [False]
        return self._tensor(np.where(riding, self.config.riding_view, 1.0))

    def _travel(self, actions: np.ndarray, start: np.ndarray) -> tuple[Tensor, Tensor]:
        """`Evidence.travel` and `Evidence.toggles` of chunks ``(B, H, 7)``."""
        longest = self.limits.max_linear_speed * self.limits.frame_period * actions.shape[1]
        way = actions[:, -1, :3] - start[:3]
        length = np.linalg.norm(way, axis=-1)
        view = 0.5 + 0.5 * way[:, 2] / np.maximum(length, 1e-9)  # from above more is seen, and the hand hides less
        toggles = np.abs(actions[:, -1, 6] - start[6]) >= 0.5
        return self._tensor(view * length / longest * ~toggles), self._tensor(toggles)

    def _tensor(self, array: np.ndarray) -> Tensor:
        return torch.as_tensor(np.asarray(array, dtype=np.float32), device=self._device)

    def _check(self, request: PlanRequest) -> None:
        spec = self._bundle.config
        expected = (len(spec.history_offsets), len(spec.views), *spec.image_size, 3)
        if request.observation.images.shape != expected:
            raise BadRequestError(
                f"images have shape {request.observation.images.shape}, this bundle needs {expected}: history frames, "
                f"cameras ({', '.join(spec.views)}), height, width, RGB. Resize to what `hello` answers"
            )
        if not request.instruction.strip():
            raise BadRequestError("the instruction is empty: say what to do, e.g. 'put the carrot in the bowl'")
