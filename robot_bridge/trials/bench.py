"""What the operator looks at before a trial: the cameras' pictures, who is who among them, and the reset scene."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from robot_bridge.bags.contact_sheet import contact_sheet, write_sheet
from robot_bridge.config import BridgeConfig
from robot_bridge.doctor.cameras import camera, spread
from robot_bridge.doctor.check import MISSING, SKIPPED, Cell
from robot_bridge.doctor.check import Check as Finding
from robot_bridge.doctor.robot import controller, joints
from robot_bridge.errors import BridgeError
from robot_bridge.listening.look import Look
from robot_bridge.trials.preflight import Check
from robot_bridge.trials.reference import ALIKE, Likeness, Reference
from robot_model.conventions import DROID_RESET_JOINTS
from robot_model.franka import franka
from robot_model.ros_names import CAMERAS

LISTEN = 1.5
"""Seconds of listening before a trial."""
FAR = 0.2
"""rad from DROID's reset pose that are worth telling."""
Listen = Callable[[Collection[str], float], Look]


class Bench:
    """A preflight that keeps the pictures it saw, for the operator to assign the cameras and to reset the scene.

    Attributes:
        confirmed: Whether the operator has looked at the cameras since they were last assigned.
    """

    def __init__(self, config: BridgeConfig, folder: Path, task: str, listen: Listen) -> None:
        """Keep what it needs.

        Args:
            config: As the bridge will use it.
            folder: Where pictures, the assignment of cameras and the reference pictures are kept.
            task: Name of the task as part of a file name.
            listen: Takes a look at the given topics, and at the pictures of all others.
        """
        self._config, self._folder, self._listen = config, folder, listen
        self._reference = Reference(folder / "references" / task)
        self._look: Look | None = None
        self._similar: dict[str, Likeness] = {}
        self.confirmed = False

    @property
    def cameras(self) -> dict[str, str]:
        """Role -> topic."""
        return self._config.camera_topics

    @property
    def options(self) -> list[str]:
        """Options of `vidplan bridge` for the cameras as they are assigned."""
        return ["--cameras", *self._config.cameras]

    @property
    def has_pictures(self) -> bool:
        """Whether any camera, assigned or not, shows something."""
        return any(picture is not None for _, picture in self._look.pictures(self.topics)) if self._look else False

    def recall(self) -> None:
        """Take the assignment of an earlier session; it is shown for confirmation all the same."""
        try:
            kept = json.loads(self._file.read_text(encoding="utf-8"))
            self._assign({role: str(kept[role]) for role in CAMERAS})
        except (OSError, ValueError, KeyError, TypeError):
            return

    def examine(self) -> Sequence[Check]:
        """Cameras, clocks, arm and its controller, now; see `Preflight`."""
        config = self._config
        self._look = look = self._listen([*self.cameras.values(), config.joint_topic], LISTEN)
        if look.empty:
            text = "no ROS graph found"
            return [Check("cell", False, text, "start the drivers; compare ROS_DOMAIN_ID with theirs")]
        cell = Cell(config)
        found = [camera(look, role, topic) for role, topic in self.cameras.items()]
        found += [spread(look, list(self.cameras.values()))]
        # A DROID NUC sends no joint states over ROS and takes no topic; the bridge itself looks at it.
        found += [joints(cell, look)] if config.backend != "droid_nuc" else []
        also = [] if config.dry_run else [controller(cell, look)]
        found += [finding for finding in also if finding.state != SKIPPED]
        return [*map(_as_check, found), *self._reset_pose(look), *self._reset_scene()]

    def sheet(self) -> Path:
        """Write all pictures on one sheet, numbered, the assigned ones first.

        Raises:
            BridgeError: It cannot be written.
        """
        roles = {topic: f" = {role.upper()}" for role, topic in self.cameras.items()}
        shown = self._look.pictures(self.topics) if self._look else []
        named = [(f"[{n}]{roles.get(topic, '')} {topic}", picture) for n, (topic, picture) in enumerate(shown, 1)]
        return write_sheet(self._folder / "preflight" / "cameras.png", contact_sheet(named))

    @property
    def topics(self) -> list[str]:
        """The numbered topics of the sheet."""
        assigned = list(self.cameras.values())
        return assigned + [t for t in (self._look.image_topics if self._look else []) if t not in assigned]

    def assign(self, numbers: str) -> None:
        """Assign the cameras by their numbers on the sheet, in the order left, right, wrist.

        Raises:
            ValueError: That is not a choice of three of them; says so.
        """
        topics = self.topics
        words = numbers.replace(",", " ").split()
        if len(words) != len(CAMERAS) or len(set(words)) != len(words) or not all(w.isdigit() for w in words):
            raise ValueError("please answer with three numbers: of the left, the right and the wrist camera")
        if not all(1 <= int(word) <= len(topics) for word in words):
            raise ValueError(f"the numbers on the sheet go from 1 to {len(topics)}")
        self._assign({role: topics[int(word) - 1] for role, word in zip(CAMERAS, words, strict=True)})
        self._folder.mkdir(parents=True, exist_ok=True)
        self._file.write_text(json.dumps(self.cameras, indent=1) + "\n", encoding="utf-8")

    def take_reference(self) -> None:
        """Keep the present pictures as what the scene must look like before every trial of this task.

        Raises:
            BridgeError: They cannot be written, or a camera shows nothing.
        """
        pictures = self._pictures()
        if len(pictures) < len(self.cameras):
            raise BridgeError("a camera shows nothing: no reference taken.")
        self._reference.take(pictures)

    def overlay(self) -> Path | None:
        """The sheet of reference, present and both; None where there is no reference yet."""
        return self._folder / "preflight" / "reset.png" if self._similar else None

    @property
    def _file(self) -> Path:
        return self._folder / "cameras.json"

    def _assign(self, topics: dict[str, str]) -> None:
        self._config = replace(self._config, cameras=tuple(f"{role}={topic}" for role, topic in topics.items()))
        self.confirmed = False

    def _pictures(self) -> dict[str, np.ndarray]:
        shown = dict(self._look.pictures(list(self.cameras.values()))) if self._look else {}
        return {role: p for role, topic in self.cameras.items() if (p := shown.get(topic)) is not None}

    def _reset_scene(self) -> list[Check]:
        self._similar = {}
        if not self._reference.load():
            return [Check("reset", True, "no reference picture yet: r takes these")]
        self._similar = self._reference.compare(self._pictures(), self._folder / "preflight" / "reset.png")
        told = ", ".join(f"{role} {like.overall:.2f} ({like.worst:.2f})" for role, like in self._similar.items())
        if not self._similar:
            return [Check("reset", True, "no picture to compare with the reference")]
        off = "; LOOK AT THE OVERLAY" if min(like.worst for like in self._similar.values()) < ALIKE else ""
        return [Check("reset", True, f"similarity to the reference, worst place in brackets: {told}{off}")]

    def _reset_pose(self, look: Look) -> list[Check]:
        heard, names = look.heard.get(self._config.joint_topic), franka(self._config.robot).joint_names
        state = heard.last if heard else None
        if state is None or not set(names) <= set(state.name):
            return []
        at = np.array([state.position[list(state.name).index(name)] for name in names])
        away = np.abs(at - DROID_RESET_JOINTS)
        worst = int(away.argmax())
        far = f"; joint {worst + 1} is {away[worst]:.2f} rad away" if away[worst] > FAR else ""
        return [Check("pose", True, f"{away.mean():.2f} rad from DROID's reset pose{far}")]


def _as_check(finding: Finding) -> Check:
    """A doctor's line as one of a preflight: what cannot be looked at holds a trial up, too."""
    return Check(finding.name, finding.state not in (MISSING, SKIPPED), finding.found, finding.advice)
