"""Settings from the command line: ``--set NAME=VALUE`` for any field of a preset, checked against its type."""

from __future__ import annotations

import ast
import dataclasses
import typing
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from models.config_io import from_plain
from models.errors import TrainingError
from models.training.config import LoopConfig, Preset

_WORDS = {"true": True, "false": False, "none": None}


def apply_settings(preset: Preset, settings: Sequence[str], stages: Sequence[str]) -> Preset:
    """A preset with other values.

    Args:
        preset: To begin with.
        settings: ``NAME=VALUE`` each. A name is a path through the preset (``loops.world-model.batch``,
            ``edm.sigma_max``, ``widths``), or a field of the loop (``batch``), then set for every one of ``stages``.
        stages: Trained stages that will run.

    Raises:
        TrainingError: There is no such field, or the value does not fit; the message says what would.
    """
    loop_fields = {field.name for field in dataclasses.fields(LoopConfig)}
    for setting in settings:
        name, equals, value = setting.partition("=")
        if not equals:
            raise TrainingError(f"--set {setting}: need NAME=VALUE, e.g. --set batch=32")
        paths = [f"loops.{stage}.{name}" for stage in stages] if name in loop_fields else [name]
        if not paths:
            raise TrainingError(f"--set {setting}: this stage has no training loop to set it for")
        for path in paths:
            preset = _replaced(Preset, preset, path.split("."), value, f"--set {setting}")
    return preset


def _replaced(kind: Any, owner: Any, path: list[str], text: str, where: str) -> Any:
    """``owner`` with the value at ``path`` below it replaced."""
    if not path:
        return _parsed(kind, text, where)
    name, rest = path[0], path[1:]
    if isinstance(owner, Mapping):
        name, rest = _key(owner, path)
        _known(name, owner, where)
        return {**owner, name: _replaced(typing.get_args(kind)[1], owner[name], rest, text, where)}
    if not dataclasses.is_dataclass(owner):
        raise TrainingError(f"{where}: {owner!r} has no field {name!r}")
    kinds = typing.get_type_hints(type(owner))
    extra = [field.name for field in dataclasses.fields(LoopConfig)] if isinstance(owner, Preset) else []
    _known(name, [field.name for field in dataclasses.fields(owner)], where, extra)
    value = _replaced(kinds[name], getattr(owner, name), rest, text, where)
    try:
        return dataclasses.replace(owner, **{name: value})  # type: ignore[type-var]
    except ValueError as error:
        raise TrainingError(f"{where}: {error}") from error


def _key(owner: Mapping[str, Any], path: list[str]) -> tuple[str, list[str]]:
    """The key that a path begins with, and the rest of the path; keys may hold dots, e.g. ``probe-fixed-0.1-bce``."""
    for end in range(len(path), 1, -1):
        if (key := ".".join(path[:end])) in owner:
            return key, path[end:]
    return path[0], path[1:]


def _known(name: str, names: Iterable[str], where: str, extra: Sequence[str] = ()) -> None:
    if name not in list(names):
        raise TrainingError(f"{where}: no setting {name!r}; there are {', '.join([*extra, *names])}")


def _parsed(kind: Any, text: str, where: str) -> Any:
    if dataclasses.is_dataclass(kind) or typing.get_origin(kind) is Mapping:
        raise TrainingError(f"{where}: name one of its fields after a dot")
    try:
        return from_plain(kind, text if kind is str else _literal(text), "value")
    except ValueError as error:
        raise TrainingError(f"{where}: {error}") from error


def _literal(text: str) -> Any:
    """A number, a word for true, false or none, or a list of those with commas; anything else is text."""
    if text.lower() in _WORDS:
        return _WORDS[text.lower()]
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError):
        return tuple(_literal(part) for part in text.split(",")) if "," in text else text
