"""The trained stages by name."""

from __future__ import annotations

from collections.abc import Callable

from models.training.loop import Stage
from models.training.names import PROBES
from models.training.workshop import Workshop


def make_stage(name: str, workshop: Workshop) -> Stage:
    """Build a stage; it reads what the earlier ones left in the workshop."""
    from models.training.autoencoder_stage import AutoencoderStage
    from models.training.familiarity_stage import FamiliarityStage
    from models.training.flow_map_stage import FlowMapStage
    from models.training.heads_stage import HeadsStage
    from models.training.probe_stage import ProbeStage
    from models.training.semantic_stage import SemanticStage
    from models.training.world_model_stage import WorldModelStage

    if name in PROBES:
        return ProbeStage(workshop, PROBES[name])
    kinds: tuple[Callable[[Workshop], Stage], ...] = (
        AutoencoderStage,
        SemanticStage,
        WorldModelStage,
        FlowMapStage,
        HeadsStage,
        FamiliarityStage,
    )
    names = ("autoencoder", "semantic", "world-model", "flow-map", "heads", "familiarity")
    return dict(zip(names, kinds, strict=True))[name](workshop)
