"""The methods that are compared: the paper's baseline, its planner, and the planner with one part left out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from robot_bridge.experiment.chosen import chosen


@dataclass(frozen=True)
class Method:
    """What plans during a trial.

    Attributes:
        name: As in the command line and in the store.
        serve: Options of `vidplan serve`.
        needs_policy: Whether a policy has to be served for it.
        says: What it is, for the report.
    """

    name: str
    serve: tuple[str, ...]
    needs_policy: bool
    says: str


METHODS = (
    Method("nominal", ("--mode", "nominal"), True, "the behaviour-cloned policy's chunk, executed as it is"),
    Method("vidplan", (), True, "imagines, distrusts, chooses and refines (Algorithm 3)"),
    Method("vidplan-no-uq", ("--no-uncertainty",), True, "rewards are not weighted by uncertainty"),
    Method("vidplan-no-refine", ("--no-refine",), True, "the chosen chunk is not refined by gradients"),
    Method("vidplan-basis-only", ("--proposers", "basis"), False, "proposes only the basis motions, without a policy"),
)


def methods_named(names: Sequence[str]) -> list[Method]:
    """The methods of those names, in that order.

    Raises:
        ConfigError: There is no such method, or a name comes twice.
    """
    return chosen(METHODS, names, "method")
