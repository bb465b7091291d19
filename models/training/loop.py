"""The one training loop: every stage brings a module and a loss; the loop brings everything else.

Each step draws from a generator that is a function of (seed, stage, step) alone, so a run that was stopped or killed,
and resumed, sees the same rows and noise in the same order, and with ``steps`` ends with the same weights.
"""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file

from models.config_io import to_plain
from models.errors import TrainingError
from models.training.config import LoopConfig
from models.training.engine_board import Board
from models.training.engine_checkpoint import (
    load_checkpoint,
    previous,
    refuse_other_settings,
    save_checkpoint,
    write_json,
)
from models.training.engine_draw import CPU, Draw, Share, draw_for, place
from models.training.engine_processes import Processes, join
from models.training.engine_progress import Progress
from models.training.engine_run import Run, ShowsSamples, Stage, rate_at
from models.training.engine_signals import StoppedError, stop_requests

__all__ = ["Draw", "Share", "ShowsSamples", "Stage", "StoppedError", "draw_for", "place", "rate_at", "train"]


def train(
    stage: Stage,
    config: LoopConfig,
    folder: Path,
    *,
    stop_after: int | None = None,
    processes: Processes | None = None,
) -> dict[str, Any]:
    """Train a stage to the end of its budget, resuming where an earlier run stopped.

    Writes ``NAME.safetensors`` (averaged weights) and ``NAME.json`` (settings, figures, notes) into ``folder``,
    ``NAME.checkpoint`` (and the one before it) on the way, TensorBoard's files and sample videos.

    Args:
        stage: What to train.
        config: How.
        folder: Where to.
        stop_after: Stop (with a checkpoint) once this many steps are done, as an interruption would.
        processes: Those that share the work; by default the ones a launcher started.

    Returns:
        The report that was written, or an empty one when stopped early.

    Raises:
        StoppedError: SIGINT or SIGTERM came; everything is saved.
        TrainingError: The loss is not finite, or the checkpoint is of another model, of other settings, or damaged.
    """
    if (config.minutes is None) == (config.steps is None):
        raise TrainingError(f"{stage.name}: give either minutes or steps")
    processes = processes or join(config.device)
    if config.batch % processes.share.count:
        raise TrainingError(
            f"{stage.name}: a batch of {config.batch} cannot be shared by {processes.share.count} processes; "
            "choose a multiple (--set batch=...)"
        )
    torch.set_num_threads(config.threads)
    folder.mkdir(parents=True, exist_ok=True)
    run = Run(stage, config, processes)
    checkpoint = folder / f"{stage.name}.checkpoint"
    _resume(run, checkpoint)
    record = _Record(run, folder, checkpoint) if processes.first else None
    stage.module.train()
    stopped = False
    try:
        with stop_requests() as asked:
            while run.progress() < 1 and not stopped:
                if stop_after is not None and run.step >= stop_after:
                    break
                stopped, save = run.advance(asked, record.due if record else lambda: False)
                if record:
                    record.step()
                if save:
                    _save(run, record)
            _save(run, record)
        if stopped:
            raise StoppedError(stage.name, run.step)
        if run.progress() < 1:
            return {}
        return _finish(run, folder, record)
    finally:
        if record:
            record.close()


def _save(run: Run, record: _Record | None) -> None:
    """Write a checkpoint: every process gives its part, the first one writes."""
    state = run.state()
    if record:
        record.save(state)


def _resume(run: Run, checkpoint: Path) -> None:
    where = run.device if run.processes.whole else CPU
    state = load_checkpoint(checkpoint, where, quiet=not run.processes.first)
    if state is None:
        return
    refuse_other_settings(run.stage.name, state.get("settings"), run.config)
    try:
        run.restore(state)
    except (RuntimeError, ValueError, KeyError) as error:
        raise TrainingError(f"{checkpoint} belongs to another model; delete it to start anew ({error})") from error


class _Record:
    """What the first process leaves on disk and screen while a run goes on."""

    def __init__(self, run: Run, folder: Path, checkpoint: Path) -> None:
        self.run, self.checkpoint = run, checkpoint
        self.board = Board(folder, run.stage.name, run.step)
        self.progress = Progress(run.stage.name, min(1.0, run.progress()))
        self.saved = self.sampled = time.monotonic()

    def step(self) -> None:
        """A step was taken."""
        run, config, now = self.run, self.run.config, time.monotonic()
        if run.step <= 100 or run.step % 10 == 0:
            self.board.scalars(run.step, run.scalars)
        self.progress.show(run.step, run.progress(), run.shown)
        if now - self.sampled >= config.sample_every and run.progress() < 1:
            self.samples()

    def due(self) -> bool:
        """Whether it is time for a checkpoint."""
        return time.monotonic() - self.saved >= self.run.config.save_every

    def save(self, state: dict[str, Any]) -> None:
        """Write a checkpoint, after the curves that lead to it."""
        self.board.flush()
        save_checkpoint(self.checkpoint, {**state, "settings": to_plain(self.run.config)})
        self.saved = time.monotonic()

    def samples(self) -> None:
        """Write sample videos of the averaged weights, where the stage has any."""
        if isinstance(self.run.stage, ShowsSamples) and self.run.processes.whole:
            with self.run.averaged_weights(), torch.no_grad():
                self.board.videos(self.run.step, self.run.stage.samples())
        self.sampled = time.monotonic()

    def close(self) -> None:
        """Close bar and files."""
        self.progress.close()
        self.board.close()


def _finish(run: Run, folder: Path, record: _Record | None) -> dict[str, Any]:
    """The first process measures and writes; the others wait, and read what it wrote.

    Those that share the weights all measure: the first cannot do it without them.
    """
    stage, file = run.stage, folder / f"{run.stage.name}.json"
    if record:
        record.progress.close()
        record.samples()
    if record or not run.processes.whole:
        run.settle()
        weights, held_out = run.weights(), stage.metrics()
    if record:
        weights = {name: value.contiguous() for name, value in weights.items()}
        save_file(weights, folder / f"{stage.name}.safetensors")
        report = {
            "stage": stage.name,
            "settings": to_plain(run.config),
            "steps": run.step,
            "seconds": round(run.seconds, 1),
            "figures": run.shown,
            "notes": stage.notes(),
            "held_out": held_out,
        }
        write_json(file, report)
        previous(record.checkpoint).unlink(missing_ok=True)
    run.processes.wait()
    return json.loads(file.read_text())
