"""What the knobs of the semantic reward do, in a picture: where it wants the hand.

    python benchmarks/reward_field.py docs/images/reward-field.png

One state of the simulated cell, one question: how much would the semantic reward r of a hand be, were its pinch point
here? Every panel is the upright slice through the object along the base's x axis, height over the table, with arrows
along the slope, which is what gradients climb. From left to right the knobs are turned on one after the other; in the
last panel something is held, and the goal is looked for. The newest real frame stands in for imagined ones, w is 1, and
the camera on the arm is left out, as what it sees would move with the hand.
"""

from __future__ import annotations

import sys
from dataclasses import replace

import numpy as np
import torch
from hallucination import OpenCell
from local_planners import plan_request
from matplotlib.figure import Figure

from planner_server.approach import beyond, metres_aside
from planner_server.centring import centres_of
from planner_server.config import PlannerConfig
from planner_server.options import DEFAULT_BUNDLE
from planner_server.scoring import score
from planner_server.service import open_bundle
from robot_model.conventions import PINCH_OFFSET, pose_to_matrix

STATE = ("far", 3_200_000)
ASIDE = np.linspace(-0.25, 0.25, 41)
HEIGHTS = np.linspace(0.0, 0.3, 25)
SHIPPED = PlannerConfig()
STEPS = (
    ("lambda = 1", replace(SHIPPED, centring=1.0, ground=0.0, hover=0.0), False),
    ("lambda = 8", replace(SHIPPED, ground=0.0, hover=0.0), False),
    ("and ground = 6 per metre", replace(SHIPPED, hover=0.0), False),
    ("and hover = 0.1 m (as shipped)", SHIPPED, False),
    ("the bowl, with something held", SHIPPED, True),
)


@torch.no_grad()
def main(argv: list[str]) -> None:
    """Draw all panels."""
    if len(argv) != 1:
        raise SystemExit(__doc__)
    bundle = open_bundle(DEFAULT_BUNDLE, "cpu")
    situation = OpenCell(bundle).situation(*STATE, "plain")
    latents = bundle.world_model.encode(torch.from_numpy(plan_request(bundle, situation, 0).observation.images)[None])
    spec, upright = bundle.config, situation.poses[-1]
    fixed = torch.tensor([float(not camera.rides) for camera in spec.cameras])
    held = (pose_to_matrix(upright) @ PINCH_OFFSET)[:3, 3] - upright[:3]
    figure = Figure(figsize=(3.2 * len(STEPS), 3.0), layout="constrained")
    axes = figure.subplots(1, len(STEPS), sharey=True)
    for axis, (title, config, carrying) in zip(axes, STEPS, strict=True):
        phrase, place = ("bowl", situation.release_point) if carrying else (situation.target, situation.object)
        poses = torch.as_tensor(np.array([
            [[*(np.array([place[0] + x, place[1], z]) - held), *upright[3:6], 0.0]] for z in HEIGHTS for x in ASIDE
        ])).float()  # fmt: skip
        seen = bundle.semantic.relevance(latents[:, -1:], phrase)[0, 0]
        aside = metres_aside(poses, place[:2])
        relevance = seen.expand(len(poses), 1, *seen.shape)
        reward = score(
            relevance,
            torch.zeros_like(relevance),
            centres_of(spec.cameras, spec.image_size, poses, beyond(aside, carrying, config)),
            aside,
            seen.amax((-2, -1)),
            fixed,
            poses.new_zeros(len(poses)),
            config,
        ).frame_reward.view(len(HEIGHTS), len(ASIDE))
        draw(axis, reward.numpy(), f"{title}\n{phrase}")
    axes[0].set_ylabel("height of the pinch point [cm]")
    figure.savefig(argv[0], dpi=110)


def draw(axis, reward: np.ndarray, title: str) -> None:  # type: ignore[no-untyped-def]
    """One slice: the reward in colours, its slope in arrows."""
    x, z = 100 * ASIDE, 100 * HEIGHTS
    axis.contourf(x, z, reward, levels=np.linspace(-3, 1, 17), cmap="viridis", extend="both")
    slope_z, slope_x = np.gradient(reward, z, x)
    every = (slice(1, None, 4), slice(2, None, 4))
    length = np.hypot(slope_x, slope_z)[every].clip(1e-9)
    axis.quiver(x[every[1]], z[every[0]], slope_x[every] / length, slope_z[every] / length, color="white", scale=22)
    axis.plot(0, 2, "x", color="red", markersize=9, markeredgewidth=2)
    axis.set_title(title, fontsize=9)
    axis.set_xlabel("beside it [cm]")


if __name__ == "__main__":
    main(sys.argv[1:])
