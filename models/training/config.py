"""Settings of training: the shared loop, and presets that size every model and stage."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType

from models.autoencoder import AutoencoderConfig
from models.denoiser import DenoiserConfig
from models.edm import Edm
from models.head_unet import HeadConfig
from models.semantic import SemanticConfig
from models.training.names import PROBES


@dataclass(frozen=True)
class LoopConfig:
    """One run of the shared loop (AdamW, warm-up, constant, cosine decay, EMA).

    Attributes:
        minutes: Wall-clock budget; None when `steps` is given.
        steps: Number of steps; exactly reproducible, also across interruptions.
        batch: Rows per step.
        rate: Peak learning rate.
        hold: Share of the budget after which the rate decays.
        decay: Weight decay.
        clip: Largest gradient norm.
        average: Rate of the exponential moving average of the weights, per step.
        seed: Seed of every draw.
        threads: CPU threads.
        half: bfloat16 autocast.
        device: Where to train: ``auto`` (the GPU where there is one), ``cpu`` or ``cuda``.
        save_every: Seconds between checkpoints.
        sample_every: Seconds between sample videos; the last ones are made at the end.
    """

    batch: int
    rate: float
    minutes: float | None = None
    steps: int | None = None
    hold: float = 0.35
    decay: float = 0.01
    clip: float = 1.0
    average: float = 0.002
    seed: int = 0
    threads: int = 2
    half: bool = True
    device: str = "auto"
    save_every: float = 60.0
    sample_every: float = 600.0

    def __post_init__(self) -> None:
        """Refuse values no run could have.

        Raises:
            ValueError: The message names the field.
        """
        least = {"batch": 1, "threads": 1, "steps": 0, "minutes": 0, "decay": 0, "save_every": 0, "sample_every": 0}
        for name, value in least.items():
            if (given := getattr(self, name)) is not None and given < value:
                raise ValueError(f"{name} must be at least {value}, got {given}")
        for name in ("rate", "clip"):
            if getattr(self, name) <= 0:
                raise ValueError(f"{name} must be positive, got {getattr(self, name)}")
        for name in ("hold", "average"):
            if not 0 <= getattr(self, name) < 1:
                raise ValueError(f"{name} must be in [0, 1), got {getattr(self, name)}")


@dataclass(frozen=True)
class Preset:
    """Sizes of all models and the settings of all stages.

    Attributes:
        name: Name of the bundle it makes.
        loops: Settings of each trained stage.
        views: View order.
        image_size: (rows, columns) of one view.
        history_offsets: History frames.
        horizon: Imagined frames.
        frame_period: Seconds between frames.
        edm: Diffusion constants.
        autoencoder: Size.
        widths: Channels of the denoiser.
        blocks: Its residual blocks per stage.
        embedding: Its conditioning width.
        head_widths: Channels of both heads.
        head_embedding: Conditioning width of both heads.
        semantic: Size.
        gamma: Discount per frame.
        robots: Arms the bundle is for.
        workspace_lower: Flange box, metres, base frame.
        workspace_upper: Its upper corner.
        max_tilt: How far the hand leans from straight down, rad; that of recordings does not.
    """

    name: str
    loops: Mapping[str, LoopConfig]
    views: tuple[str, ...] = ("left", "right", "wrist")
    image_size: tuple[int, int] = (48, 80)
    history_offsets: tuple[int, ...] = (-1, 0)
    horizon: int = 5
    frame_period: float = 0.2
    edm: Edm = field(default_factory=Edm)
    autoencoder: AutoencoderConfig = field(default_factory=AutoencoderConfig)
    widths: tuple[int, int] = (128, 256)
    blocks: int = 2
    embedding: int = 256
    head_widths: tuple[int, int, int] = (32, 64, 128)
    head_embedding: int = 96
    semantic: SemanticConfig = field(default_factory=SemanticConfig)
    gamma: float = 0.95
    robots: tuple[str, ...] = ("panda", "fr3")
    workspace_lower: tuple[float, float, float] = (0.28, -0.32, 0.168)
    workspace_upper: tuple[float, float, float] = (0.70, 0.32, 0.60)
    max_tilt: float = 0.03

    @property
    def latent_size(self) -> tuple[int, int]:
        """(h, w) of one view."""
        return self.image_size[0] // 8, self.image_size[1] // 8

    @property
    def denoiser(self) -> DenoiserConfig:
        """Size of the denoiser."""
        return DenoiserConfig(
            latent_channels=self.autoencoder.latent_channels,
            rows=self.latent_size[0] * len(self.views),
            columns=self.latent_size[1],
            history=len(self.history_offsets),
            horizon=self.horizon,
            widths=self.widths,
            blocks=self.blocks,
            embedding=self.embedding,
        )

    def head(self, bins: int, highest: float) -> HeadConfig:
        """Size of a head with ``bins`` over [0, highest]."""
        return HeadConfig(
            latent_channels=self.autoencoder.latent_channels,
            latent_size=self.latent_size,
            views=len(self.views),
            horizon=self.horizon,
            bins=bins,
            highest=highest,
            widths=self.head_widths,
            embedding=self.head_embedding,
        )


TABLETOP = Preset(
    name="tabletop",
    loops=MappingProxyType(
        {
            "autoencoder": LoopConfig(batch=32, rate=1.5e-3, steps=1882, decay=1e-4, average=0.01),
            "semantic": LoopConfig(batch=32, rate=2e-3, steps=4000, average=0.01),
            "world-model": LoopConfig(batch=16, rate=1e-3, steps=26000),
            "flow-map": LoopConfig(batch=24, rate=3e-4, steps=2500, average=0.01),
            "heads": LoopConfig(batch=12, rate=1e-3, steps=1800, average=0.01),
            "familiarity": LoopConfig(batch=16, rate=4e-3, steps=2000, average=0.01),
        }
    ),
)
TINY = Preset(
    name="tiny",
    loops=MappingProxyType(
        {
            "autoencoder": LoopConfig(batch=4, rate=1e-3, steps=20),
            "semantic": LoopConfig(batch=4, rate=1e-3, steps=20),
            "world-model": LoopConfig(batch=4, rate=1e-3, steps=20),
            "flow-map": LoopConfig(batch=6, rate=1e-3, steps=20),
            "heads": LoopConfig(batch=2, rate=1e-3, steps=20),
            "familiarity": LoopConfig(batch=2, rate=1e-3, steps=20),
        }
    ),
    autoencoder=AutoencoderConfig(widths=(8, 16)),
    widths=(16, 32),
    blocks=1,
    embedding=32,
    head_widths=(8, 16, 16),
    head_embedding=16,
    semantic=SemanticConfig(width=16, features=8),
)
PRESETS = {preset.name: preset for preset in (TABLETOP, TINY)}
"""``tabletop`` is the shipped bundle; ``tiny`` goes through all stages in seconds, to see that they run."""


def with_probes(preset: Preset) -> Preset:
    """The same preset with settings for every kind of probe: those of its heads, which learn from the same clips.

    End to end, those of its flow map, which goes on training then.
    """
    loops = {name: preset.loops["flow-map" if kind.end_to_end else "heads"] for name, kind in PROBES.items()}
    return replace(preset, loops={**preset.loops, **loops})
