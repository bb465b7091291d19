"""Progress: called with what is being done and the share of it that is."""

from __future__ import annotations

from collections.abc import Callable

Say = Callable[[str, float], None]
