"""A batch of candidates shared by several replicas of a bundle, behind the protocols of `models.interfaces`.

What is shared is what costs: imagining many candidates (with what the uncertainty head says of them) and the relevance
of their pictures. One chunk alone, and whatever needs a gradient, stays where the plan is made: a gradient step has one
chunk, which cannot be split, and its graph is not sent through a network.

A candidate's future depends on nothing but the scene, its noise and its actions, which all travel with it: the answer
is the same, to rounding, however the batch is split. Nothing here knows how replicas are reached (`Peer`).
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from functools import cached_property
from typing import Any, Protocol, cast

import numpy as np
import torch
from torch import Tensor

from models.bundle import Bundle
from models.interfaces import Imagined, Uncertainty

logger = logging.getLogger(__name__)

Arrays = dict[str, np.ndarray]

LEAST_PATIENCE, PATIENCE = 2.0, 5.0
"""Seconds, and times as long as this replica took for its own share, that the share of another is waited for."""


class LostError(Exception):
    """A replica died, cannot be reached, or takes so long that its work is better done by another."""


class Reply(Protocol):
    """An answer that is on its way."""

    def result(self, patience: float) -> Arrays:
        """Wait for it.

        Args:
            patience: Most seconds.

        Raises:
            LostError: It has not come, or will not.
        """
        ...


class Peer(Protocol):
    """Another replica, as one that shares its batch sees it."""

    def up(self) -> bool:
        """Whether it can be asked at present."""
        ...

    def submit(self, part: str, arrays: Arrays, options: Mapping[str, Any]) -> Reply:
        """Ask it for `Workbench.work`; returns at once."""
        ...


@dataclass(frozen=True)
class Judged(Imagined):
    """An imagined video with what the uncertainty head of the replica that imagined it says.

    Attributes:
        uncertainty: U_beta of it.
    """

    uncertainty: Uncertainty


class Workbench:
    """The models of one replica. Its own plan and the shares of others take turns, call by call.

    Attributes:
        bundle: The models.
        device: Where they are.
        turn: Held during every call of a model: a model may keep things between its layers and calls.
    """

    def __init__(self, bundle: Bundle, device: str) -> None:
        self.bundle, self.device, self.turn = bundle, torch.device(device), threading.RLock()
        self._seen: Tensor | None = None

    def work(self, part: str, arrays: Arrays, options: Mapping[str, Any]) -> Arrays:
        """A share of another replica's batch.

        Args:
            part: ``imagine`` or ``relevance``.
            arrays: The arguments of that name; those of one row belong to every candidate.
            options: Its other arguments.
        """
        tensors = {name: torch.from_numpy(np.array(array)).to(self.device) for name, array in arrays.items()}
        rows = max(map(len, tensors.values()))
        tensors = {name: tensor.expand(rows, *tensor.shape[1:]) for name, tensor in tensors.items()}
        return {name: tensor.cpu().numpy() for name, tensor in self.own(part, tensors, options).items()}

    @torch.no_grad()
    def own(self, part: str, tensors: Mapping[str, Tensor], options: Mapping[str, Any]) -> dict[str, Tensor]:
        """The same on this replica's device."""
        with self.turn:
            if part == "relevance":
                return {"relevance": self.bundle.semantic.relevance(self._same(tensors["latents"]), **options)}
            arguments: dict[str, Any] = {**tensors, **options}
            imagined = self.bundle.world_model.imagine(**arguments)
            judged = self.bundle.uncertainty(imagined)
        said = {field.name: getattr(judged, field.name).float() for field in fields(Uncertainty)}
        return {"latents": imagined.latents.float(), **said}

    def _same(self, latents: Tensor) -> Tensor:
        """The very tensor that was judged last where this one equals it: its features may be kept with it."""
        if self._seen is None or self._seen.shape != latents.shape or not torch.equal(self._seen, latents):
            self._seen = latents
        return self._seen


class Crew:
    """This replica and its peers, sharing batches."""

    def __init__(self, bench: Workbench, find_peers: Callable[[], Sequence[Peer]]) -> None:
        """Peers are looked for when the first batch is shared: until then they may still be starting."""
        self.bench, self._find_peers = bench, find_peers

    @cached_property
    def peers(self) -> Sequence[Peer]:
        """The others."""
        return self._find_peers()

    def share(self, part: str, tensors: Mapping[str, Tensor], options: Mapping[str, Any]) -> dict[str, Tensor]:
        """`Workbench.own` of a batch, by everybody who is up; what a lost peer owes is done here.

        Args:
            part: See `Workbench.work`.
            tensors: ``(B, ...)`` each.
            options: See `Workbench.work`.
        """
        mine, *theirs = np.array_split(np.arange(len(next(iter(tensors.values())))), 1 + len(up := self._up()))
        given = [
            (peer.submit(part, {name: portable(value, rows) for name, value in tensors.items()}, options), rows)
            for peer, rows in zip(up, theirs, strict=True)
            if len(rows)
        ]
        begun = time.monotonic()
        done = [self._own(part, tensors, mine, options)]
        patience = max(LEAST_PATIENCE, PATIENCE * (time.monotonic() - begun))
        for reply, rows in given:
            try:
                answer = reply.result(patience)
                done.append({name: torch.from_numpy(np.array(a)).to(self.bench.device) for name, a in answer.items()})
            except LostError as error:
                logger.warning("%s of candidates %d to %d is done again: %s", part, rows[0], rows[-1], error)
                done.append(self._own(part, tensors, rows, options))
        return {name: torch.cat([share[name] for share in done]) for name in done[0]}

    def _up(self) -> list[Peer]:
        return [peer for peer in self.peers if peer.up()]

    def _own(
        self, part: str, tensors: Mapping[str, Tensor], rows: np.ndarray, options: Mapping[str, Any]
    ) -> dict[str, Tensor]:
        return self.bench.own(part, {name: value[rows[0] : rows[-1] + 1] for name, value in tensors.items()}, options)


def portable(values: Tensor, rows: np.ndarray) -> np.ndarray:
    """Consecutive rows of ``(B, ...)`` as an array to send: a single one where all rows are the same memory."""
    part = values[:1] if values.stride(0) == 0 else values[rows[0] : rows[-1] + 1]
    return part.detach().float().cpu().numpy()


class SharedWorldModel:
    """`interfaces.WorldModel` whose batches are shared by a crew."""

    def __init__(self, crew: Crew) -> None:
        self._crew, self._bench, self._model = crew, crew.bench, crew.bench.bundle.world_model

    def encode(self, images: Tensor) -> Tensor:
        """See `interfaces.WorldModel`."""
        with self._bench.turn:
            return self._model.encode(images)

    def initial_noise(self, history: Tensor, generator: torch.Generator | None) -> Tensor:
        """See `interfaces.WorldModel`."""
        return self._model.initial_noise(history, generator)

    def decode(self, latents: Tensor) -> Tensor:
        """See `interfaces.WorldModel`."""
        with self._bench.turn:
            return self._model.decode(latents)

    def imagine(
        self, history: Tensor, history_poses: Tensor, actions: Tensor, *, noise: Tensor | None = None, **options: Any
    ) -> Imagined:
        """See `interfaces.WorldModel`. Shared only with given noise: its rows must not depend on who imagines them."""
        if alone(actions) or noise is None:
            with self._bench.turn:
                return self._model.imagine(history, history_poses, actions, noise=noise, **options)
        rows = {"history": history, "history_poses": history_poses, "actions": actions, "noise": noise}
        found = self._crew.share("imagine", rows, options)
        uncertainty = Uncertainty(**{field.name: found[field.name] for field in fields(Uncertainty)})
        return Judged(found["latents"], history, history_poses, actions, uncertainty)


class SharedUncertainty:
    """`interfaces.UncertaintyModel`: what was imagined together has been judged where it was imagined."""

    def __init__(self, crew: Crew) -> None:
        self._bench = crew.bench

    def __call__(self, imagined: Imagined) -> Uncertainty:
        """See `interfaces.UncertaintyModel`."""
        if isinstance(imagined, Judged):
            return imagined.uncertainty
        with self._bench.turn:
            return self._bench.bundle.uncertainty(imagined)


class SharedSemanticReward:
    """`interfaces.SemanticReward` whose batches are shared by a crew."""

    def __init__(self, crew: Crew) -> None:
        self._crew, self._bench = crew, crew.bench

    def relevance(self, latents: Tensor, phrase: str) -> Tensor:
        """See `interfaces.SemanticReward`."""
        if alone(latents):
            with self._bench.turn:
                return self._bench.bundle.semantic.relevance(latents, phrase)
        return self._crew.share("relevance", {"latents": latents}, {"phrase": phrase})["relevance"]

    def features(self, latents: Tensor) -> Tensor:
        """What a bundle's familiarity looks at, see `models.semantic.SemanticHead`: of one frame, which stays here."""
        with self._bench.turn:
            return self._bench.bundle.semantic.features(latents)


def alone(rows: Tensor) -> bool:
    """Whether a batch stays here: it is one candidate, or a gradient is wanted."""
    return len(rows) < 2 or torch.is_grad_enabled()


def shared(crew: Crew) -> Bundle:
    """The bundle of a crew's workbench, with batches shared."""
    parts: dict[str, Any] = {
        "world_model": SharedWorldModel(crew),
        "uncertainty": SharedUncertainty(crew),
        "semantic": SharedSemanticReward(crew),
    }
    return cast(Bundle, replace(crew.bench.bundle, **parts))
