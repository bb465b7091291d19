"""Replicas as Ray actors. The only file that imports Ray, and only when it is asked for.

Ray places the replicas (one GPU each, or some processor cores), carries their messages, notices when one is gone, and
starts it again. It does not repeat calls: models take long to load, so what a lost replica owes is done by others at
once (`Crew.share`, `Fleet`).
"""

from __future__ import annotations

import logging
import os
import time
import uuid
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from plan_protocol.messages import PlannerSpec
from planner_server.errors import StartError
from planner_server.scale_out.fleet import Fleet
from planner_server.scale_out.replica import Replica
from planner_server.scale_out.sharing import LEAST_PATIENCE, PATIENCE, Arrays, LostError
from planner_server.service import Recipe

try:
    import ray
    from ray.exceptions import GetTimeoutError, RayError, RayTaskError
except ImportError as error:
    raise StartError("--ray needs Ray, which is not installed: pip install 'vidplan[ray]'") from error

logger = logging.getLogger(__name__)

as_actor: Any = ray.remote  # its type knows functions of up to ten arguments, and no actors with options

LOCAL = "local"
"""Address that starts a Ray of its own on this machine."""
LOADING = 900.0
"""Most seconds for the models of a replica to load."""
TICK = 0.05
"""Seconds between looks at a plan that is being made."""
GROUPS = {"plans": 4, "shares": 1}
"""Threads of a replica; cancelling and the like have one more."""


class Link:
    """A replica reached through Ray. Once lost it is not asked until it has answered a call again.

    Attributes:
        handle: Ray's handle of the actor.
        name: For messages.
        patience: Seconds of silence after which a plan counts as lost.
    """

    def __init__(self, handle: Any, name: str) -> None:
        self.handle, self.name, self.patience = handle, name, LOADING
        self._knock: Any = None

    def up(self) -> bool:
        """Whether it can be asked at present."""
        if self._knock is None:
            return True
        if not ray.wait([self._knock], timeout=0)[0]:
            return False
        try:
            ray.get(self._knock)
        except RayError as error:
            self.lose(error)
            return False
        logger.warning("%s is back", self.name)
        self._knock = None
        return True

    def submit(self, part: str, arrays: Arrays, options: Mapping[str, Any]) -> Answer:
        """See `sharing.Peer`."""
        return Answer(self, self.handle.work.options(concurrency_group="shares").remote(part, arrays, options))

    def plan(self, *arguments: Any) -> Iterator[Any]:
        """See `fleet.Member`."""
        method = self.handle.plan.options(num_returns="streaming", concurrency_group="plans")
        stream, heard = method.remote(*arguments), time.monotonic()
        while True:
            try:
                if ray.wait([stream], timeout=TICK)[0]:
                    item, heard = ray.get(next(stream)), time.monotonic()
                elif time.monotonic() - heard > self.patience:
                    raise GetTimeoutError(f"silent for {self.patience:.1f} s")
                else:
                    item = None
            except StopIteration:
                return
            except RayTaskError as error:
                raise error.cause from None
            except RayError as error:
                raise self.lose(error) from error
            yield item

    def cancel(self, number: int) -> None:
        """See `fleet.Member`."""
        self.handle.cancel.remote(number)

    def lose(self, error: RayError) -> LostError:
        """Ask it for a sign of life, which Ray delivers when the replica is there again."""
        self._knock = self.handle.ready.options(max_task_retries=-1).remote()
        return LostError(f"{self.name}: {type(error).__name__}: {str(error).splitlines()[0]}")


class Answer:
    """See `sharing.Reply`."""

    def __init__(self, link: Link, reference: Any) -> None:
        self._link, self._reference = link, reference

    def result(self, patience: float) -> Arrays:
        """See `sharing.Reply`. Work that fails there counts as lost: if it fails here, too, the reason is at hand."""
        try:
            return ray.get(self._reference, timeout=patience)
        except RayError as error:
            raise self._link.lose(error) from error


class RayReplica(Replica):
    """A `Replica` that finds its peers by name, also when it was started again."""

    def __init__(self, recipe: Recipe, names: Sequence[str], own: int) -> None:
        """Load the models.

        Args:
            recipe: The planner to be.
            names: Of all replicas, as Ray knows them.
            own: Which of them this is.
        """
        others = [name for index, name in enumerate(names) if index != own]
        super().__init__(recipe, lambda: [Link(ray.get_actor(name), name) for name in others])


class RayFleet(Fleet):
    """A `Fleet` of Ray actors.

    Attributes:
        spec: What the replicas plan for, and how long a plan takes them.
        links: The replicas.
    """

    def __init__(self, recipe: Recipe, address: str, count: int) -> None:
        """Start the replicas and wait until all of them are ready.

        Args:
            recipe: The planner that each of them is. Its bundle must be at the same path on every machine.
            address: Of a Ray cluster, `LOCAL` for one of its own on this machine, ``auto`` for the one that was started
                on this machine.
            count: Replicas.

        Raises:
            StartError: There is no such cluster, it is too small, or the models do not load.
        """
        if recipe.device not in ("cpu", "cuda"):
            raise StartError(f"--ray gives every replica a GPU of its own: say --device cuda, not {recipe.device}")
        self.links: list[Link] = []
        self._ours = not ray.is_initialized()
        if self._ours:
            connect(address)
        try:
            self.links = _start(recipe, count)
            self.spec = self._get_ready()
        except BaseException:
            self.close()
            raise
        super().__init__(self.links)

    def close(self) -> None:
        """End the replicas, and leave Ray."""
        for link in self.links:
            ray.kill(link.handle)
        if self._ours:
            ray.shutdown()

    def _get_ready(self) -> PlannerSpec:
        try:
            spec = ray.get([link.handle.ready.remote() for link in self.links], timeout=LOADING)[0]
            latency = ray.get(self.links[0].handle.measure.options(concurrency_group="plans").remote(), timeout=LOADING)
        except RayTaskError as error:
            raise StartError(str(error.cause)) from error
        except RayError as error:
            raise StartError(f"a replica did not start: {error}") from error
        for link in self.links:
            link.patience = max(LEAST_PATIENCE, PATIENCE * latency)
        return replace(spec, plan_latency=latency)


def connect(address: str, **options: Any) -> None:
    """Connect to a Ray cluster, or start one.

    Raises:
        StartError: There is none.
    """
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # a robot's workstation does not report home
    options |= {"log_to_driver": False, "logging_level": logging.ERROR}
    if address == LOCAL:
        options |= {"include_dashboard": False, "_system_config": {"worker_niceness": 0}}
    try:
        ray.init(address, **options)
    except Exception as error:  # Ray raises bare ones, too, e.g. where the machine is too busy to start it in 30 s
        ray.shutdown()
        raise StartError(
            f"no Ray cluster at {address}: {error}. Start one with `ray start --head`, or say --ray {LOCAL}"
        ) from error


def _start(recipe: Recipe, count: int) -> list[Link]:
    kind = "GPU" if recipe.device == "cuda" else "CPU"
    each = 1 if kind == "GPU" else recipe.threads or 1
    there = int(ray.cluster_resources().get(kind, 0))
    if count * each > there:
        raise StartError(f"{count} replicas need {count * each} {kind}s, and this Ray cluster has {there}")
    options: dict[str, Any] = {"max_restarts": -1, "concurrency_groups": GROUPS}
    options |= {"num_gpus": 1} if kind == "GPU" else {"num_cpus": each}
    actor = as_actor(**options)(RayReplica)
    fleet = uuid.uuid4().hex[:8]
    names = [f"vidplan-{fleet}-replica-{number}" for number in range(count)]
    return [Link(actor.options(name=name).remote(recipe, names, own), name) for own, name in enumerate(names)]
