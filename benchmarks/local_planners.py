"""Local planners side by side, at equal time: what they gain in imagination, and what truly comes of it.

    python benchmarks/local_planners.py --bundle models/bundles/tabletop --states 60 --out runs/local-planners

In each state of the simulator the global planner chooses once; every local planner then refines that same winner, for
as long as gradient ascent with the configured iterations took (or ``--seconds``), and the simulator carries out the
winner and all refinements from the same physics state. Time is this process's CPU time: with one thread that is what
the clock on the wall would say on an idle machine, and other work does not disturb it. Rows of the table:

* ``J``: mean gain of the objective that was climbed, and ``J'``: the same imagined from noise that no planner saw.
* ``true``: mean gain of the true semantic reward (true masks, measured poses); ``higher`` and ``lower``: share of the
  states in which it rose or fell by more than 0.01 (about a millimetre); ``worst task``: the lowest mean gain over one
  object's states, as a share of the whole range of the reward.
* ``mm``: mean gain of progress at the chunk's end.
* ``better`` and ``worse``: number of states in which what the fingers did came to a better or worse end, once the arm
  had rested for a second: the object lies about < is held < is in the bowl.

``+fingers`` and ``+turn``: gradient ascent's result, then asked about fingers and yaw (`fingers_and_turns.py`).
Interrupted runs go on where they were; states are drawn from seeds that training never uses.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch
from records import Records

from models.bundle import Bundle
from plan_protocol.messages import Observation, PlanRequest
from plan_protocol.server import Context
from planner_server.approach import beyond, metres_aside
from planner_server.config import PROPOSERS, PlannerConfig
from planner_server.evaluation.ranking import FIRST_SEED, KINDS, Scripted
from planner_server.evaluation.simulator import Outcomes, Simulator, Situation
from planner_server.evaluation.truth import distance, true_evidence, true_reward
from planner_server.fingers import holding
from planner_server.judgement import Judgement
from planner_server.limits import project
from planner_server.local_planners.choose import PATHS
from planner_server.local_planners.fingers_and_turns import FingersAndTurns
from planner_server.local_planners.interfaces import Budget, LocalPlanner, Problem, Refinement
from planner_server.options import DEFAULT_BUNDLE
from planner_server.planner import Planner
from planner_server.service import build_planner, open_bundle

NOTICEABLE = 0.01
"""Differences of true reward below this are ties: about a millimetre."""
FRESH_DRAWS = (101, 102)
"""Noises that no local planner climbs in."""
RESTING = 5
"""Frames at rest before it is looked what became of the object."""
BOWL_RADIUS = 0.065
"""Metres from the bowl's middle within which what was let go is in it, as `sim_cell.truth` has it."""
FATES = ("lies about", "is held", "is in the bowl")
MANY = 10_000


def main(argv: list[str]) -> None:
    """Measure what is missing, print the table."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--bundle", type=Path, default=DEFAULT_BUNDLE, metavar="DIR")
    options.add_argument("--states", type=int, default=30, metavar="N", help="far, near and held in turn (%(default)s)")
    options.add_argument("--first-seed", type=int, default=FIRST_SEED, help="of the states (%(default)s)")
    options.add_argument("--look", default="plain", help="look of the simulated cells (%(default)s)")
    options.add_argument("--proposers", default=",".join(PROPOSERS), help="as `vidplan serve` (%(default)s)")
    options.add_argument("--seconds", type=float, help="per refinement (default: as long as gradient ascent took)")
    options.add_argument("--set", nargs="*", default=[], metavar="NAME=VALUE", help="settings of PlannerConfig")
    options.add_argument("--out", type=Path, default=Path("runs/local-planners"), metavar="DIR")
    options.add_argument("--threads", type=int, default=1, metavar="N")
    arguments = options.parse_args(argv)
    torch.set_num_threads(arguments.threads)
    torch.set_flush_denormal(True)

    bundle = open_bundle(arguments.bundle, "cpu")
    changes = {name: json.loads(value) for name, value in (entry.split("=", 1) for entry in arguments.set)}
    config = PlannerConfig(**{name: tuple(v) if isinstance(v, list) else v for name, v in changes.items()})
    conditions = {
        "bundle": bundle.hash,
        "config": asdict(config),
        "seed": arguments.first_seed,
        "look": arguments.look,
        "proposers": arguments.proposers,
        "seconds": arguments.seconds,
    }
    records = Records(arguments.out / "states.jsonl", conditions)
    script = Scripted()
    planner = build_planner(bundle, config, policy=script, proposers=arguments.proposers.split(","))
    planners = contenders(config)
    with (
        TemporaryDirectory() as folder,
        Simulator(Path(folder), bundle.config.image_size, bundle.config.views) as simulator,
    ):
        for number in range(arguments.states):
            if number not in records.done:
                spec, kind, seed = bundle.config, KINDS[number % len(KINDS)], arguments.first_seed + number
                situation = simulator.situation(kind, seed, arguments.look, spec.history_offsets, spec.horizon)
                script.nominal = situation.nominal
                measured = measure(planner, bundle, situation, simulator, planners, arguments.seconds, seed)
                records.add({"number": number, "kind": kind, "target": situation.target, **measured})
                print(f"{len(records.done)} of {arguments.states} states", file=sys.stderr, end="\r", flush=True)
    print(table([records.done[number] for number in range(arguments.states)], config.centring))


def contenders(config: PlannerConfig) -> dict[str, LocalPlanner]:
    """Every local planner of paths; gradient ascent comes first, as it sets the time."""
    return {name: make(config) for name, make in PATHS.items()}


def questions(config: PlannerConfig, refined: Refinement) -> dict[str, LocalPlanner]:
    """What is asked about fingers and yaw once gradient ascent is done."""
    margin, draws = config.regrip_margin, config.regrip_draws or 3
    return {"+fingers+turn": FingersAndTurns(Done(refined), margin, draws, config.regrip_reach)}


@dataclass(frozen=True)
class Done:
    """A local planner that has been at work before."""

    refined: Refinement

    def refine(self, problem: Problem, budget: Budget) -> Refinement:
        """What it found."""
        return self.refined


def measure(
    planner: Planner,
    bundle: Bundle,
    situation: Situation,
    simulator: Simulator,
    planners: dict[str, LocalPlanner],
    seconds: float | None,
    seed: int,
) -> dict[str, Any]:
    """One state: by local planner, J before and after, what truly came of it, and how long it took."""
    judged = planner.judge(plan_request(bundle, situation, seed), Context("benchmark", "benchmark"))
    problem, config = planner.problem(judged, planner.objective(judged, seed)), planner.config
    refined: dict[str, Refinement] = {}
    took: dict[str, float] = {}

    def run(name: str, local: LocalPlanner, budget: Budget) -> None:
        begun = time.process_time()
        refined[name] = local.refine(problem, budget)
        took[name] = time.process_time() - begun

    for name, local in planners.items():
        limit = seconds or took.get("gradient", math.inf)
        rounds = MANY if limit < math.inf else config.iterations
        run(name, local, Budget(rounds, limit, clock=time.process_time))
    for name, asking in questions(config, refined["gradient"]).items():
        run(name, asking, Budget(0))
        took[name] += took["gradient"]
    chunks = [project(r.chunk.double().numpy(), judged.situation.start, planner.limits) for r in refined.values()]
    outcomes = simulator.rollouts(np.stack(chunks))
    rewards, progress = truth(judged, situation, outcomes, bundle, config)
    rest = [np.repeat(chunk[-1:], RESTING, 0) for chunk in chunks]
    ends = fates(simulator.rollouts(np.concatenate([chunks, rest], 1), watch=False))
    return {
        name: {
            "J": round(refined[name].after, 5),
            "J_fresh": round(fresh(problem, refined[name].chunk), 5),
            "true": round(float(rewards[i]), 5),
            "progress": round(float(progress[i]), 5),
            "fate": ends[i],
            "seconds": round(took[name], 4),
            "moved": round(float(np.abs(chunks[i][:, :3] - judged.winner[:, :3]).max()), 5),
            "toggled": bool((chunks[i][:, 6].round() != judged.winner[:, 6].round()).any()),
            "turned": round(float(np.abs(chunks[i][:, 5] - judged.winner[:, 5]).max()), 4),
        }
        for i, name in enumerate(refined)
    }


@torch.no_grad()
def fresh(problem: Problem, chunk: torch.Tensor) -> float:
    """Mean J imagined from noise that nobody climbed in."""
    return float(np.mean([float(problem.objective(chunk[None], draw)) for draw in FRESH_DRAWS]))


def truth(
    judged: Judgement, situation: Situation, outcomes: Outcomes, bundle: Bundle, config: PlannerConfig
) -> tuple[np.ndarray, np.ndarray]:
    """Per chunk: true semantic reward, metres of progress at the end."""
    above = beyond(metres_aside(torch.from_numpy(outcomes.poses), judged.place), judged.phase.at_goal, config)
    evidence = true_evidence(judged.evidence, situation, outcomes, judged.phrase, bundle.config.cameras, above)
    progress = distance(situation.kind, situation) - distance(situation.kind, outcomes)[:, -1]
    return true_reward(evidence, config), progress


def fates(outcomes: Outcomes) -> list[int]:
    """Per chunk, what has become of the object at the end: an index of `FATES`."""
    found = []
    for poses, place, drop in zip(outcomes.poses, outcomes.object, outcomes.release_point, strict=True):
        above_bowl = np.linalg.norm((place - drop)[-1, :2]) < BOWL_RADIUS
        found.append(1 if holding(poses[:, 6]) else 2 if above_bowl else 0)
    return found


def plan_request(bundle: Bundle, situation: Situation, seed: int) -> PlanRequest:
    """What a bridge would ask in this situation, at rest."""
    stamps = np.array(bundle.config.history_offsets) * bundle.config.frame_period
    return PlanRequest(
        instruction=f"put the {situation.target} in the bowl",
        observation=Observation(situation.images, stamps, situation.poses, situation.joints),
        committed=np.zeros((0, 7)),
        start_joints=situation.commanded_joints,
        deadline=60.0,
        seed=seed,
    )


def table(records: list[dict[str, Any]], centring: float) -> str:
    """All figures, and the share of states by kind."""
    names = [name for name, value in records[0].items() if isinstance(value, dict)]
    lines = [
        f"{'':22}{'seconds':>8}{'J':>8}{chr(74) + chr(39):>8}{'true':>9}{'higher':>8}{'lower':>7}"
        f"{'worst task':>12}{'mm':>7}{'better':>8}{'worse':>7}"
    ]
    for kind in ("all", *KINDS):
        chosen = [record for record in records if kind in ("all", record["kind"])]
        if not chosen:
            continue
        lines.append(f"{kind}: {len(chosen)} states; none: true {mean(chosen, 'none', 'true'):+.3f}")
        for name in names:
            if name != "none":
                lines.append(row(name, chosen, centring))
    return "\n".join(lines)


def row(name: str, records: list[dict[str, Any]], centring: float) -> str:
    """One local planner against none."""
    gains = {key: gain(records, name, key) for key in ("J", "J_fresh", "true", "progress")}
    tasks = sorted({record["target"] for record in records})
    by_task = [float(gain([r for r in records if r["target"] == task], name, "true").mean()) for task in tasks]
    fate = gain(records, name, "fate")
    return (
        f"  {name:20}{np.median([r[name]['seconds'] for r in records]):8.2f}{gains['J'].mean():8.3f}"
        f"{gains['J_fresh'].mean():8.3f}{gains['true'].mean():+9.3f}{(gains['true'] > NOTICEABLE).mean():8.0%}"
        f"{(gains['true'] < -NOTICEABLE).mean():7.0%}{min(by_task) / (1 + centring):+12.1%}"
        f"{1e3 * gains['progress'].mean():+7.1f}{(fate > 0).sum():8d}{(fate < 0).sum():7d}"
    )


def gain(records: list[dict[str, Any]], name: str, key: str) -> np.ndarray:
    """Per state, what a local planner changed."""
    return np.array([record[name][key] - record["none"][key] for record in records])


def mean(records: list[dict[str, Any]], name: str, key: str) -> float:
    """Over states."""
    return float(np.mean([record[name][key] for record in records]))


if __name__ == "__main__":
    main(sys.argv[1:])
