"""`bundle.json` of the full-size models: what a bundle is for, and the hash of every file in it."""

from __future__ import annotations

import hashlib
import json
import math
from dataclasses import dataclass, field, replace
from pathlib import Path

from models.bundle import family_of
from models.cameras import Camera
from models.config_io import from_plain, to_plain
from models.ctrl_world.config import CtrlWorldConfig
from models.errors import BundleError
from models.head_unet import HeadConfig

FAMILY = "CtrlWorldModel"
FORMAT = 1


@dataclass(frozen=True)
class CtrlWorldBundleConfig:
    """What a bundle was made for; the planner's fields are those of `models.bundle.BundleConfig`.

    Attributes:
        name: Its name, shown to robots.
        world_model: What the world model is.
        robots: Arms it was made for.
        workspace_lower: Lower corner of the flange's box in the base frame, metres.
        workspace_upper: Upper corner.
        max_linear_speed: Highest flange speed in a plan, m/s.
        max_angular_speed: Highest flange angular speed in a plan, rad/s.
        max_tilt: How far the hand may lean from straight down, rad.
        cameras: Calibrated ones, one per view, or none.
        gamma: Discount per frame of the value head.
        phrases: Object phrases that are known to work; CLIP and SigLIP take any.
        uncertainty: Size, bins and error range of the uncertainty head; None until it is trained.
        value: Size and bins of the value head; None until it is trained.
        files: SHA-256 of every other file.
        made_from: Where it came from.
        family: Class name of the world model.
        format: Version of this layout.
    """

    name: str
    world_model: CtrlWorldConfig
    robots: tuple[str, ...]
    workspace_lower: tuple[float, float, float]
    workspace_upper: tuple[float, float, float]
    max_linear_speed: float = 0.25
    max_angular_speed: float = 1.0
    max_tilt: float = math.pi
    cameras: tuple[Camera, ...] = ()
    gamma: float = 0.97
    phrases: tuple[str, ...] = ()
    uncertainty: HeadConfig | None = None
    value: HeadConfig | None = None
    files: dict = field(default_factory=dict)
    made_from: dict = field(default_factory=dict)
    family: str = FAMILY
    format: int = FORMAT

    @property
    def views(self) -> tuple[str, ...]:
        """View order of images and of the stacked latents."""
        return self.world_model.views

    @property
    def image_size(self) -> tuple[int, int]:
        """(rows, columns) of one view."""
        return self.world_model.image_size

    @property
    def history_offsets(self) -> tuple[int, ...]:
        """History frames as offsets from the newest, oldest first."""
        return self.world_model.history_offsets

    @property
    def frame_period(self) -> float:
        """Seconds between video frames."""
        return self.world_model.frame_period

    @property
    def horizon(self) -> int:
        """New frames H."""
        return self.world_model.horizon


def read_config(path: Path) -> CtrlWorldBundleConfig:
    """Read ``bundle.json``.

    Raises:
        BundleError: It is missing, not JSON, of another family or format, or lacks a field.
    """
    file = path / "bundle.json"
    if (family := family_of(path)) != FAMILY:
        raise BundleError(f"{file} is of the family {family}, need {FAMILY}: make one with `vidplan bundle import`")
    try:
        values = json.loads(file.read_text())
        if values.get("format") != FORMAT:
            raise BundleError(f"{file} has format {values.get('format')!r}, this version of vidplan reads {FORMAT}")
        if "views" not in values.get("world_model", {}):
            raise ValueError("world_model.views is missing: labs differ in the order of the views")
        return from_plain(CtrlWorldBundleConfig, values)
    except (OSError, ValueError) as error:
        raise BundleError(f"{file} cannot be read: {error}") from error


def write_config(path: Path, config: CtrlWorldBundleConfig) -> None:
    """Write ``bundle.json`` with the hashes of all other files as they are now."""
    files = {name: file_hash(path / name) for name in _names(path)}
    text = json.dumps(to_plain(replace(config, files=files)), indent=1) + "\n"
    (path / "bundle.json").write_text(text)


def changed_files(path: Path, config: CtrlWorldBundleConfig) -> list[str]:
    """Files whose hash is not the one in ``bundle.json``, that are missing, or that are not named there."""
    present = set(_names(path))
    strangers = present ^ set(config.files)
    return sorted(
        strangers | {name for name in present & set(config.files) if file_hash(path / name) != config.files[name]}
    )


def file_hash(file: Path) -> str:
    """SHA-256 of a file, hexadecimal."""
    digest = hashlib.sha256()
    with open(file, "rb") as stream:
        while block := stream.read(1 << 22):
            digest.update(block)
    return digest.hexdigest()


def bundle_hash(path: Path) -> str:
    """SHA-256 of ``bundle.json``, which names every other file with its own."""
    return file_hash(path / "bundle.json")


def _names(path: Path) -> list[str]:
    files = (file for file in path.rglob("*") if file.is_file() and file.name != "bundle.json")
    return sorted(file.relative_to(path).as_posix() for file in files)
