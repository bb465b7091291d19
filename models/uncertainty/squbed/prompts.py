"""The file of prompts: a prompt per line, or a JSON object per line with the fields of `Task`."""

from __future__ import annotations

import json
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

from models.config_io import from_plain
from models.errors import ModelsError
from models.uncertainty.squbed.interfaces import Task

FIELDS = tuple(field.name for field in fields(Task))


def read_prompts(file: Path) -> list[Task]:
    """The tasks of a file; empty lines and lines that begin with # are skipped.

    References are looked for beside the file.

    Raises:
        ModelsError: The file is missing or empty, or a line makes no sense; the message names it.
    """
    try:
        lines = file.read_text().splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise ModelsError(f"{file} cannot be read: {error}") from error
    tasks = [
        _task(line.strip(), f"{file}, line {number}", file.parent)
        for number, line in enumerate(lines, start=1)
        if line.strip() and not line.lstrip().startswith("#")
    ]
    if not tasks:
        raise ModelsError(f"{file} holds no prompt: write one per line")
    return tasks


def _task(line: str, where: str, folder: Path) -> Task:
    if not line.startswith("{"):
        return Task(line)
    try:
        values: dict[str, Any] = json.loads(line)
    except json.JSONDecodeError as error:
        raise ModelsError(f"{where} is not JSON: {error}") from error
    reference = values.pop("reference", None)
    try:
        task = from_plain(Task, values, where)
    except ValueError as error:
        raise ModelsError(f"{error}; there are {', '.join(FIELDS)}") from error
    if not task.prompt.strip():
        raise ModelsError(f"{where}: the prompt is empty")
    if reference is None:
        return task
    if not isinstance(reference, str) or not (folder / reference).is_file():
        raise ModelsError(f"{where}: there is no reference video {reference!r} beside the file")
    return replace(task, reference=folder / reference)
