"""Picks what the command line names out of a table."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, TypeVar

from robot_bridge.errors import ConfigError


class Named(Protocol):
    """A row of a table."""

    @property
    def name(self) -> str:
        """As in the command line."""
        ...


Row = TypeVar("Row", bound=Named)


def chosen(table: Sequence[Row], names: Sequence[str], what: str) -> list[Row]:
    """The rows of those names, in that order.

    Args:
        table: All there are.
        names: As given to the option ``--WHATs``.
        what: What a row is called.

    Raises:
        ConfigError: There is no such row, or a name comes twice.
    """
    known = {row.name: row for row in table}
    for name in names:
        if name not in known:
            raise ConfigError(f"--{what}s", f"'{name}' is none of {', '.join(known)}.")
    if len(set(names)) != len(names):
        raise ConfigError(f"--{what}s", f"a {what} is named twice.")
    return [known[name] for name in names]
