"""One of several planners with the same bundle: makes whole plans, and shares of the batches of others."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from queue import SimpleQueue
from typing import Any

import numpy as np
import torch

from plan_protocol.messages import Plan, PlannerSpec, PlanRequest
from plan_protocol.server import Context
from planner_server.errors import StartError
from planner_server.planner import Planner
from planner_server.scale_out.sharing import Arrays, Crew, Peer, Workbench, shared
from planner_server.service import Recipe, measure_latency, planner_spec

Stage = tuple[str, float]
"""A stage of a plan, and the share of its work that is done."""
Previous = tuple[np.ndarray, np.ndarray]
"""Times and poses of the plan that a robot was given last."""


class Replica:
    """Several of its methods run at once, in different threads.

    A replica keeps nothing between two plans that the next one must have: whoever asks brings the robot's previous plan
    along, so another replica can make the next plan, or make this one again.
    """

    def __init__(self, recipe: Recipe, find_peers: Callable[[], Sequence[Peer]] = tuple) -> None:
        """Load the models. What goes wrong is told by `ready`: a constructor that fails is hard to ask for its reasons.

        Args:
            recipe: The planner to be.
            find_peers: The other replicas.
        """
        self._contexts: dict[int, Context] = {}
        self._trouble: StartError | None = None
        torch.set_flush_denormal(True)
        if recipe.threads:
            torch.set_num_threads(recipe.threads)
        try:
            bundle = recipe.open_bundle()
            self._crew = Crew(Workbench(bundle, recipe.device), find_peers)
            self._planner: Planner = recipe.build_planner(shared(self._crew))
        except StartError as error:
            self._trouble = error

    def ready(self) -> PlannerSpec:
        """What it plans for, once its models are loaded.

        Raises:
            StartError: They could not be.
        """
        if self._trouble is not None:
            raise self._trouble
        return planner_spec(self._crew.bench.bundle, 0.0)

    def measure(self) -> float:
        """Seconds of a plan, see `service.measure_latency`."""
        return measure_latency(self._planner, self._crew.bench.bundle)

    def work(self, part: str, arrays: Arrays, options: Mapping[str, Any]) -> Arrays:
        """A share of another replica's batch, see `Workbench.work`."""
        return self._crew.bench.work(part, arrays, options)

    def plan(
        self, number: int, request: PlanRequest, robot: str, session: str, previous: Previous | None
    ) -> Iterator[Stage | Plan]:
        """Make a plan: its stages as they begin, then the plan.

        Args:
            number: What `cancel` calls it.
            request: What is asked.
            robot: Who asks.
            session: Name of that client's run.
            previous: The robot's previous plan; None at the beginning of a task.

        Raises:
            BadRequestError: The request does not fit the bundle.
            CancelledError: It was cancelled.
        """
        told: SimpleQueue[Stage | Plan | Exception] = SimpleQueue()
        context = Context(robot, session, on_progress=lambda stage, fraction: told.put((stage, fraction)))

        def make() -> None:
            try:
                told.put(self._plan(request, context, previous))
            except Exception as error:
                told.put(error)

        self._contexts[number] = context
        threading.Thread(target=make, name=f"plan-{number}", daemon=True).start()
        try:
            while True:
                item = told.get()
                if isinstance(item, Exception):
                    raise item
                yield item
                if isinstance(item, Plan):
                    return
        finally:
            del self._contexts[number]

    def cancel(self, number: int) -> None:
        """Nobody waits for this plan any more."""
        if number in self._contexts:
            self._contexts[number].cancel()

    def _plan(self, request: PlanRequest, context: Context, previous: Previous | None) -> Plan:
        if previous is None:
            self._planner.reset(context.robot_id)
        else:
            self._planner.remember(context.robot_id, *previous)
        return self._planner.plan(request, context)
