"""What the ways to imagine are called in a report."""

from __future__ import annotations


def in_steps(name: str) -> str:
    """``4`` -> ``4 steps``; ``0`` is the expected future."""
    return "expected future" if name == "0" else f"{name} step{'s' * (name != '1')}"
