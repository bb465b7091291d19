"""Every constant of the planner, in one frozen place. `docs/planner.md` explains how each was chosen."""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import inf

LOCAL_PLANNERS = ("gradient", "cem", "mppi", "none")
PROPOSERS = ("basis", "biased", "previous")
COMPILED = ("kernels", "graphs", "search")
"""Ways to compile networks, see `models.fast`; named here, so that the command line need not load torch."""


@dataclass(frozen=True)
class PlannerConfig:
    """Constants of Algorithm 3.

    Attributes:
        flow_steps: Flow map steps per imagination: 1 is the real-time setting of the paper, 0 the expected future.
        local_planner: Name of the local planner, one of `LOCAL_PLANNERS`.
        approach: nu, weight of the semantic reward in the local planner's objective, beside E[V]; 0 is the paper's.
        across: Cost in the same objective of a hand that lies along what is looked for instead of across; 0: none.
        iterations: K, gradient iterations of the local planner, or rounds of samples.
        speeds: Speeds of the basis spatial velocities, m/s; one set of six candidates per speed.
        yaw_speed: Speed of the two yaw candidates, rad/s; 0 offers none.
        perturbations: Perturbed copies of a nominal chunk, beside the chunk itself.
        position_noise: Standard deviation of a perturbation at the end of the chunk, metres per axis.
        yaw_noise: The same for yaw, rad.
        gripper_flip: Probability that a perturbed chunk toggles the gripper.
        max_gripper_speed: Largest change of the gripper (0 open .. 1 closed) per second.
        centring: lambda, weight of the centring distance against the relevance; distances are in image widths.
        ground: What a metre between the tool and the place of what is looked for, seen from above, costs of the reward.
        riding_view: Weight of a view from the arm itself in the mean over the views; a fixed camera's is 1.
        hover: Metres above an object from which the hand comes down on it: a hand beside it is to stay as high.
        carry_height: Metres above the goal at which something held is carried.
        carry_clearance: Metres above the base's plane below which no pinch point goes while something is held: it would
            sweep the table, and push the goal away.
        progress: mu, weight of the expected return in the global planner's reward r + mu w(h) E[V].
        weighting: Shape of the weight w(h), see `weighting.SHAPES`.
        doubt: kappa of the weight w(h); 0 makes it 1 everywhere.
        strange: Log-odds of showing something unknown at which a cell of the picture loses half its relevance, see
            `strangeness`; infinite: every thing counts as known.
        unfamiliar: Strangeness of light and cameras (1 is rare in training) beyond which the plan is uncertain.
        unsure: Mean h of an imagined video beyond which a candidate is uncertain. When all are, the plan says so, the
            chunk explores, and is not refined.
        visible: Relevance from which an object counts as seen in a view.
        region: Share of the highest weighted relevance from which a cell belongs to the region of c_r.
        exploration: Largest bonus of a moving candidate when nothing relevant can be trusted.
        step_position: Largest position step of one gradient iteration, metres per frame.
        step_rotation: Largest rotation step of one gradient iteration, rad per frame.
        turn_axes: Share of the rotation step about each axis of the base frame. Nothing turns by default: no reward of
            a tabletop bundle sees yaw well enough, and in closed loop it wandered into the limit of joint 7.
        step_gripper: Largest gripper step of one gradient iteration, per frame; zero for models that only ever saw open
            and closed fingers, to which half closed ones mean nothing.
        samples: Chunks per round of the sampling local planners.
        sample_position: Standard deviation of their first samples, metres per axis and frame.
        temperature: Of MPPI's weights, in standard deviations of J.
        regrip_cost: What fingers that toggle cost a candidate's reward: they must be worth more than noise.
        regrip_draws: Noises that must agree before other fingers or a turn replace the refined chunk; 0 never asks.
        regrip_margin: What they must gain of J in each.
        regrip_reach: Image widths between tool and object within which the fingers may toggle then.
    """

    flow_steps: int = 0
    local_planner: str = "gradient"
    approach: float = 0.5
    across: float = 1.0
    iterations: int = 5
    speeds: tuple[float, ...] = (0.12,)
    yaw_speed: float = 0.0
    perturbations: int = 4
    position_noise: float = 0.02
    yaw_noise: float = 0.0
    gripper_flip: float = 0.0
    max_gripper_speed: float = 5.0
    centring: float = 8.0
    ground: float = 6.0
    riding_view: float = 0.2
    hover: float = 0.1
    carry_height: float = 0.07
    carry_clearance: float = 0.11
    progress: float = 0.5
    weighting: str = "exp"
    doubt: float = 0.3
    strange: float = -2.0
    unfamiliar: float = 2.0
    unsure: float = 0.5
    visible: float = 0.3
    region: float = 0.5
    exploration: float = 0.1
    step_position: float = 0.006
    step_rotation: float = 0.03
    turn_axes: tuple[float, float, float] = (0.0, 0.0, 0.0)
    step_gripper: float = 0.0
    samples: int = 8
    sample_position: float = 0.012
    temperature: float = 0.5
    regrip_cost: float = 0.005
    regrip_draws: int = 3
    regrip_margin: float = 0.1
    regrip_reach: float = 0.04

    def without_uncertainty(self) -> PlannerConfig:
        """The same planner, blind to doubt: w = 1, every thing counts as known, nothing explored, never uncertain."""
        return replace(self, doubt=0.0, strange=inf, exploration=0.0).never_uncertain()

    def never_uncertain(self) -> PlannerConfig:
        """The same planner, but no plan only explores."""
        return replace(self, unfamiliar=inf, unsure=1.0)
