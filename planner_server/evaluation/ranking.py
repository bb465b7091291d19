"""Ranking fidelity: each of the planner's candidates in imagination and in the simulator, state by state.

One state is one JSON line in ``ranking.jsonl``; a run that was interrupted goes on after the states that are there.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import ExitStack
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from queue import SimpleQueue
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch
from torch import Tensor

from models.bundle import Bundle
from plan_protocol.messages import Observation, PlanRequest
from plan_protocol.server import Context
from planner_server.approach import beyond, metres_aside
from planner_server.config import PlannerConfig
from planner_server.evaluation.simulator import Simulator, Situation
from planner_server.evaluation.truth import distance, true_evidence, true_reward
from planner_server.judgement import Evidence, Judgement
from planner_server.proposers.interfaces import Situation as Start
from planner_server.service import build_planner

KINDS = ("far", "near", "held")
FIRST_SEED = 1_000_000
"""Recordings to train on are made with small seeds; these scenes are none of theirs."""


@dataclass(frozen=True)
class RankingOptions:
    """What to measure.

    Attributes:
        states: How many, the kinds of `KINDS` in turn.
        look: How the simulated cells look (`vidplan sim record --look`).
        workers: Simulator processes.
    """

    states: int
    look: str = "varied"
    workers: int = 2


class Scripted:
    """Nominal policy of the biased proposer: the chunk that a script, aiming badly, would command next."""

    name = "script"

    def __init__(self) -> None:
        self.nominal: np.ndarray | None = None

    def chunk(self, situation: Start) -> np.ndarray | None:
        """See `NominalPolicy`."""
        return self.nominal

    def remember(self, robot_id: str, times: np.ndarray, poses: np.ndarray) -> None:
        """Every state stands alone."""

    def forget(self, robot_id: str) -> None:
        """Every state stands alone."""


class Ranker:
    """Measures states with one planner; threads share it, each with a simulator of its own."""

    def __init__(self, bundle: Bundle, config: PlannerConfig, look: str) -> None:
        self._bundle, self._config, self._look = bundle, config, look
        self._script = Scripted()
        self._planner = build_planner(bundle, config, policy=self._script, proposers=("basis", "biased"))
        self._planning = threading.Lock()

    def measure(self, number: int, simulator: Simulator) -> dict[str, Any]:
        """State ``number``: K candidates judged by the planner and carried out by the simulator.

        Returns:
            Lists of K numbers: ``imagined`` rewards by way of judging, ``true`` ones, ``progress`` [m] towards the goal
            at each candidate's best frame, both rewards of each view alone; what ``refinement`` did to the winner
            (before, after; progress at the last frame); and which state it was.
        """
        spec = self._bundle.config
        kind, seed = KINDS[number % len(KINDS)], FIRST_SEED + number
        situation = simulator.situation(kind, seed, self._look, spec.history_offsets, spec.horizon)
        request = _request(situation, spec.history_offsets, spec.frame_period, number)
        with self._planning:
            self._script.nominal = situation.nominal
            judged = self._planner.judge(request, Context("ranking", "ranking"))
            plan = self._planner.plan(request, Context("ranking", "ranking"))
        K = len(judged.proposals)
        outcomes = simulator.rollouts(np.stack([*judged.evidence.actions, judged.winner, plan.poses]))

        aside = metres_aside(torch.from_numpy(outcomes.poses), judged.place)
        above = beyond(aside, judged.phase.at_goal, self._config)
        true = true_evidence(judged.evidence, situation, outcomes, judged.phrase, spec.cameras, above)
        rewards, begun = true_reward(true, self._config), float(distance(kind, situation))
        nearer = begun - distance(kind, outcomes)
        return {
            "number": number,
            "kind": kind,
            "seed": seed,
            "target": situation.target,
            "phase": judged.phase.name.lower(),
            "names": [proposal.name for proposal in judged.proposals],
            "imagined": {name: _rounded(reward) for name, reward in imagined_rewards(judged, self._config).items()},
            "true": _rounded(rewards[:K]),
            "distance": round(begun, 6),
            "progress": _rounded(nearer[:K].max(1)),
            "views": {
                name: {
                    "imagined": _rounded(view_reward(judged.evidence, view, self._config)),
                    "true": _rounded(view_reward(true, view, self._config)[:K]),
                }
                for view, name in enumerate(spec.views)
            },
            "refinement": {
                "refined": plan.refined,
                "objective": _rounded(np.array(plan.objective)),
                "true": _rounded(rewards[K:]),
                "progress": _rounded(nearer[K:, -1]),
            },
        }


def imagined_rewards(judged: Judgement, config: PlannerConfig) -> dict[str, Tensor]:
    """Rewards ``(K,)`` of the same imagined futures: the planner's own, and without one or another part of it."""
    evidence, blind = judged.evidence, config.without_uncertainty()
    fixed = replace(evidence, view_weights=evidence.view_weights * (evidence.view_weights == 1))

    def reward(of: Evidence, settings: PlannerConfig) -> Tensor:
        return of.reward(of.scores(settings), settings)

    return {
        "planner": judged.reward,
        "without_value": reward(evidence, replace(config, progress=0.0)),
        "without_uncertainty": reward(evidence, blind),
        "without_wrist": reward(fixed, config),
        "without_value_and_uncertainty": reward(evidence, replace(blind, progress=0.0)),
    }


def view_reward(evidence: Evidence, view: int, config: PlannerConfig) -> Tensor:
    """Semantic rewards ``(K,)`` of one view alone; all zero when it sees nothing of what is looked for."""
    alone = torch.zeros_like(evidence.view_weights)
    alone[view] = 1.0
    seen = evidence.seen * alone[:, None, None]
    aside = torch.zeros_like(evidence.aside)
    return replace(evidence, view_weights=alone, seen=seen, aside=aside).scores(config).reward


def measure_ranking(
    bundle: Bundle, config: PlannerConfig, options: RankingOptions, out: Path, say: Callable[[str, float], None]
) -> list[dict[str, Any]]:
    """Measure the states that ``out/ranking.jsonl`` does not hold yet.

    Args:
        bundle: The models.
        config: The planner's constants.
        options: What to measure.
        out: Folder of the results, exists.
        say: Told what is done and the share of it that is.

    Returns:
        One record per state (see `Ranker.measure`), in order.

    Raises:
        SimulatorError: A simulator broke; the states measured so far are kept.
    """
    file = out / "ranking.jsonl"
    key = {"bundle": bundle.hash, "config": json.loads(json.dumps(asdict(config))), "look": options.look}
    written = file.read_text() if file.exists() else ""
    done = {record["number"]: record for record in _known(written, key)}
    missing = [number for number in range(options.states) if number not in done]
    ranker = Ranker(bundle, config, options.look)
    say("ranking: states", 1 - len(missing) / options.states)
    with ExitStack() as stack, open(file, "a") as lines:
        if written and not written.endswith("\n"):
            print(file=lines)  # what follows a torn line must not be lost with it
        idle: SimpleQueue[Simulator] = SimpleQueue()
        for _ in range(min(options.workers, len(missing))):
            folder = Path(stack.enter_context(TemporaryDirectory(prefix="vidplan-what-if-")))
            idle.put(stack.enter_context(Simulator(folder, bundle.config.image_size, bundle.config.views)))

        def measure(number: int) -> dict[str, Any]:
            simulator = idle.get()
            try:
                return ranker.measure(number, simulator)
            finally:
                idle.put(simulator)

        pool = stack.enter_context(ThreadPoolExecutor(options.workers))
        stack.callback(pool.shutdown, cancel_futures=True)
        for future in as_completed([pool.submit(measure, number) for number in missing]):
            record = future.result()
            done[record["number"]] = record
            print(json.dumps({"key": key, **record}), file=lines, flush=True)
            say("ranking: states", sum(number in done for number in range(options.states)) / options.states)
    return [done[number] for number in range(options.states)]


def _known(written: str, key: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Records of earlier runs with the same bundle and settings; a line torn by an interruption is left out."""
    for line in written.splitlines():
        try:
            record = json.loads(line)
        except json.JSONDecodeError:
            continue
        if record.pop("key") == key:
            yield record


def _request(situation: Situation, offsets: tuple[int, ...], period: float, seed: int) -> PlanRequest:
    return PlanRequest(
        instruction=f"put the {situation.target} in the bowl",
        observation=Observation(situation.images, np.array(offsets) * period, situation.poses, situation.joints),
        committed=np.zeros((0, 7)),
        start_joints=situation.commanded_joints,
        deadline=60.0,
        seed=seed,
    )


def _rounded(values: Tensor | np.ndarray) -> list[float]:
    return [round(float(value), 6) for value in values]
