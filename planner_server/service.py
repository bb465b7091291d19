"""Puts the parts together: a bundle's models and proposers into a `Planner`, a planner behind a `PlanServer`."""

from __future__ import annotations

import time
from collections.abc import Sequence
from copy import copy
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from models.bundle import Bundle, BundleConfig, load_bundle
from models.errors import BundleError, CompileError
from models.fast import compile_networks
from models.uncertainty.c3.files import load_judged_bundle
from plan_protocol.messages import CameraSpec, Observation, PlannerSpec, PlanRequest
from plan_protocol.server import Context
from planner_server.config import PROPOSERS, PlannerConfig
from planner_server.errors import StartError
from planner_server.limits import Limits
from planner_server.planner import Planner
from planner_server.policy.adapters import AUTO
from planner_server.policy.errors import PolicyError
from planner_server.proposers.basis import BasisProposer
from planner_server.proposers.biased import BiasedProposer, NominalPolicy, PreviousPlan
from planner_server.proposers.interfaces import Proposer
from planner_server.proposers.openpi import OpenPiPolicy, OpenPiProposer
from robot_model.conventions import DROID_RESET_JOINTS
from robot_model.franka import franka
from robot_model.kinematics import ArmKinematics

LATENCY_SAMPLES = 3


@dataclass(frozen=True)
class Recipe:
    """What a planner is made of: whoever has it can make the same one, in any process.

    Attributes:
        bundle: Folder of the models.
        device: Where they shall be.
        config: Constants.
        proposers: Which of `PROPOSERS` propose.
        policy: Address of the policy behind the biased proposer; None: the previous plan.
        policy_wait: Most seconds that a plan waits for it.
        threads: CPU threads of the models; None: torch decides.
        compiled: See `hurry`.
        last_step_only: See `hurry`.
        policy_adapter: How the arm follows the policy's joint velocities, see `AdapterChoice`.
    """

    bundle: Path
    device: str
    config: PlannerConfig
    proposers: tuple[str, ...] = PROPOSERS
    policy: str | None = None
    policy_wait: float = 0.3
    threads: int | None = None
    compiled: str | None = None
    last_step_only: bool = False
    policy_adapter: str = AUTO

    def open_bundle(self) -> Bundle:
        """See `open_bundle`; judged by the probe in its folder where there is one."""
        bundle = open_bundle(self.bundle, self.device, judged=True)
        hurry(bundle, self.device, self.compiled, self.last_step_only)
        return bundle

    def build_planner(self, bundle: Bundle) -> Planner:
        """See `build_planner`."""
        policy = None
        if self.policy:
            policy = openpi_policy(bundle, self.policy, self.policy_wait, self.policy_adapter)
        return build_planner(bundle, self.config, self.device, policy, self.proposers)


def open_bundle(path: Path, device: str, *, judged: bool = False) -> Bundle:
    """Load a bundle for serving.

    Args:
        path: Its folder.
        device: Where the models shall be.
        judged: Trust the probe that `vidplan uq probe` put into the folder, where there is one, instead of the head.

    Raises:
        StartError: It is missing or damaged, or the device does not exist.
    """
    try:
        return load_judged_bundle(path, device) if judged else load_bundle(path, device)
    except BundleError as error:
        raise StartError(f"the bundle cannot be used: {error}") from error
    except (RuntimeError, AssertionError) as error:  # torch: no such device, or not built for it
        raise StartError(f"the models do not load on device '{device}': {error}. Try --device cpu") from error


def hurry(bundle: Bundle, device: str, compiled: str | None, last_step_only: bool) -> None:
    """Make a bundle's plans faster.

    Args:
        bundle: Its world model is changed.
        device: Where it is.
        compiled: One of `config.COMPILED`, or None to leave networks as they are.
        last_step_only: Gradients go through the last step of the flow map alone.

    Raises:
        StartError: Nothing can be compiled on this machine.
    """
    model = bundle.world_model
    model.flow_map.last_step_only = last_step_only
    if compiled:
        try:
            compile_networks(model, compiled, device)
        except CompileError as error:
            raise StartError(f"--compile {compiled}: {error}. Leave it out") from error


def build_planner(
    bundle: Bundle,
    config: PlannerConfig,
    device: str = "cpu",
    policy: NominalPolicy | None = None,
    proposers: Sequence[str] = PROPOSERS,
) -> Planner:
    """A planner with the proposers of the paper.

    Args:
        bundle: The models.
        config: Constants.
        device: Where the models are.
        policy: Nominal policy of the biased proposer; the previous plan of each robot when not given.
        proposers: Which of `PROPOSERS` propose.

    Raises:
        StartError: No proposer, or one that there is not, or a policy that nobody would ask.
    """
    chosen = choose_proposers(proposers, config, policy)
    return Planner(bundle, chosen, arms_of(bundle), limits_of(bundle, config), config, device)


def arms_of(bundle: Bundle) -> list[ArmKinematics]:
    """The arms that a bundle was made for."""
    return [ArmKinematics(franka(name)) for name in bundle.config.robots]


def limits_of(bundle: Bundle, config: PlannerConfig) -> Limits:
    """What every chunk of a planner on a bundle satisfies."""
    spec = bundle.config
    return Limits(
        spec.workspace_lower,
        spec.workspace_upper,
        spec.max_linear_speed,
        spec.max_angular_speed,
        config.max_gripper_speed,
        spec.frame_period,
        spec.max_tilt,
    )


def choose_proposers(names: Sequence[str], config: PlannerConfig, policy: NominalPolicy | None) -> list[Proposer]:
    """Proposers by name, in the order of `PROPOSERS`.

    * ``basis``: motions along the axes.
    * ``biased``: the policy's chunk and perturbed copies; without a policy, the previous plan's.
    * ``previous``: the previous plan carried on, as refined: the warm start. Part of ``biased`` without a policy.
    """
    if not names or (unknown := set(names) - set(PROPOSERS)):
        what = f"no proposer '{min(unknown)}'" if names else "no proposer is named"
        raise StartError(f"{what}; there are: {', '.join(PROPOSERS)}")
    if policy is not None and "biased" not in names:
        raise StartError(
            "a policy is asked by the proposer 'biased', which is left out: add it, or leave out the policy"
        )
    noise = (config.perturbations, config.position_noise, config.yaw_noise, config.gripper_flip)
    chosen: list[Proposer] = []
    if "basis" in names:
        chosen.append(BasisProposer(config.speeds, config.yaw_speed))
    if "biased" in names and isinstance(policy, OpenPiPolicy):
        chosen.append(OpenPiProposer(policy, *noise))
    elif "biased" in names:
        chosen.append(BiasedProposer(policy or PreviousPlan(), *noise))
    if "previous" in names and (policy is not None or "biased" not in names):
        chosen.append(BiasedProposer(PreviousPlan(), 0, 0.0, 0.0, 0.0))
    return chosen


def openpi_policy(bundle: Bundle, address: str, patience: float, adapter: str = AUTO) -> OpenPiPolicy:
    """The policy at an address, seeing `policy_cameras`.

    Raises:
        StartError: The address is not understood, the adapter cannot be used, or the bundle lacks one of the cameras.
    """
    try:
        return OpenPiPolicy(address, *policy_cameras(bundle.config), patience, adapter)
    except PolicyError as error:
        raise StartError(str(error)) from error


def policy_cameras(spec: BundleConfig) -> tuple[int, int]:
    """Indices of the bundle's first scene camera and its wrist camera, which a policy sees.

    Raises:
        StartError: The bundle lacks one of them.
    """
    riding = [camera.rides for camera in spec.cameras]
    riding = riding or [view == "wrist" for view in spec.views]  # not calibrated: their names have to do
    if all(riding) or not any(riding):
        raise StartError(f"a policy sees a scene and a wrist camera; {spec.name} has {spec.views}")
    return riding.index(False), riding.index(True)


def planner_spec(bundle: Bundle, plan_latency: float) -> PlannerSpec:
    """What the server answers to `Hello`."""
    spec = bundle.config
    height, width = spec.image_size
    return PlannerSpec(
        model_name=spec.name,
        model_hash=bundle.hash,
        cameras=tuple(CameraSpec(name, height, width) for name in spec.views),
        history_offsets=spec.history_offsets,
        frame_period=spec.frame_period,
        horizon=spec.horizon,
        max_committed=spec.horizon,
        robots=spec.robots,
        workspace_lower=spec.workspace_lower,
        workspace_upper=spec.workspace_upper,
        max_linear_speed=spec.max_linear_speed,
        max_angular_speed=spec.max_angular_speed,
        plan_latency=plan_latency,
    )


def measure_latency(planner: Planner, bundle: Bundle) -> float:
    """Median seconds of a plan on a blank observation, as a robot would ask for it: one committed frame, no pictures.

    The first plan warms the machine up and does not count; the previous-plan proposals are there in those that do.
    """
    timed = copy(planner)
    timed.config = planner.config.never_uncertain()  # black pictures are unfamiliar; exploring takes less time
    seconds = []
    for number in range(LATENCY_SAMPLES + 1):
        request = blank_request(bundle, number)
        begun = time.perf_counter()
        timed.plan(request, Context("start-up", "start-up"))
        seconds.append(time.perf_counter() - begun)
    planner.reset("start-up")
    return float(np.median(seconds[1:]))


def blank_request(bundle: Bundle, number: int = 0) -> PlanRequest:
    """A request with black pictures and the arm at DROID's reset posture, ``number`` half seconds after zero."""
    spec = bundle.config
    T = len(spec.history_offsets)
    pose = np.array([*ArmKinematics(franka(spec.robots[0])).forward_pose(DROID_RESET_JOINTS), 0.0])
    stamps = 0.5 * number + np.array(spec.history_offsets) * spec.frame_period
    images = np.zeros((T, len(spec.views), *spec.image_size, 3), np.uint8)
    joints = np.array(DROID_RESET_JOINTS)
    return PlanRequest(
        instruction="pick up the " + (spec.phrases[0] if spec.phrases else "object"),
        observation=Observation(images, stamps, np.tile(pose, (T, 1)), joints),
        committed=pose[None],
        start_joints=joints,
        deadline=60.0,
    )
