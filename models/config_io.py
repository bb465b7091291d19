"""Frozen dataclasses to plain JSON values and back, strictly: unknown and missing fields are errors."""

from __future__ import annotations

import dataclasses
import types
import typing
from typing import Any, TypeVar

T = TypeVar("T")


def to_plain(config: Any) -> dict[str, Any]:
    """JSON-ready dictionary of a dataclass."""
    return dataclasses.asdict(config)


def from_plain(kind: type[T], values: Any, where: str = "") -> T:
    """Build ``kind`` from a JSON value.

    Raises:
        ValueError: A field is unknown, missing, or of another kind; the message names it.
    """
    return _convert(kind, values, where or getattr(kind, "__name__", str(kind)))


def _convert(kind: Any, value: Any, where: str) -> Any:
    if dataclasses.is_dataclass(kind):
        return _dataclass(kind, value, where)
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if origin is tuple:
        if not isinstance(value, (list, tuple)):
            raise ValueError(f"{where}: need a list, got {value!r}")
        if len(arguments) == 2 and arguments[1] is Ellipsis:
            return tuple(_convert(arguments[0], item, f"{where}[{i}]") for i, item in enumerate(value))
        if len(value) != len(arguments):
            raise ValueError(f"{where}: need {len(arguments)} values, got {len(value)}")
        return tuple(
            _convert(k, item, f"{where}[{i}]") for i, (k, item) in enumerate(zip(arguments, value, strict=True))
        )
    if origin is types.UnionType or origin is typing.Union:
        if value is None:
            return None
        return _convert(next(k for k in arguments if k is not type(None)), value, where)
    if origin is dict:
        return dict(value)
    if kind is float and isinstance(value, (int, float)) and not isinstance(value, bool):
        return float(value)
    if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
        raise ValueError(f"{where}: need {kind.__name__}, got {value!r}")
    return value


def _dataclass(kind: Any, value: Any, where: str) -> Any:
    if not isinstance(value, dict):
        raise ValueError(f"{where}: need an object, got {type(value).__name__}")
    hints = typing.get_type_hints(kind)
    known = {field.name: field for field in dataclasses.fields(kind)}
    if unknown := sorted(set(value) - set(known)):
        raise ValueError(f"{where}: unknown field(s) {', '.join(unknown)}")
    missing = [
        name
        for name, field in known.items()
        if name not in value and field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING
    ]
    if missing:
        raise ValueError(f"{where}: missing field(s) {', '.join(missing)}")
    return kind(**{name: _convert(hints[name], item, f"{where}.{name}") for name, item in value.items()})
