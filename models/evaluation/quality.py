"""How good the imagined video is: by number of steps, against the teacher and against repeating the last frame."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from models.bundle import Bundle
from models.evaluation.footage import Footage
from models.evaluation.lpips import Lpips
from models.evaluation.media import Media, comparison
from models.evaluation.names import in_steps
from models.evaluation.options import Options
from models.evaluation.pixels import Truth, decode
from models.evaluation.say import Say
from models.evaluation.walks import Walk, flow_map, guided_teacher, teacher
from models.heatmap import Heatmap
from models.interfaces import Imagined
from models.training.clips import Batch

EXAMPLES = 6


def measure_quality(
    bundle: Bundle, footage: Footage, options: Options, lpips: Lpips | None, say: Say
) -> tuple[dict[str, Any], Media]:
    """Every step count and the teacher on the same clips and the same noise."""
    model = bundle.world_model
    rows = footage.spread(options.clips)
    batch, truth = footage.clips(rows), Truth(footage, rows, footage.horizon, lpips)
    noise = model.initial_noise(batch.history, torch.Generator().manual_seed(options.seed))
    guided, its_teacher = guided_teacher(options), teacher(options).name
    walks = [*map(flow_map, options.step_counts), teacher(options), guided]
    imagined = {walk.name: _imagine(bundle, batch, noise, walk, say) for walk in walks}
    videos = {name: decode(model, found.latents) for name, found in imagined.items()}

    figures = {name: truth.figures(frames) for name, frames in videos.items()}
    for name, found in imagined.items():
        figures[name]["latent_error"] = latent_error(found.latents, batch)
    baselines = {
        "repeat_last": truth.figures(truth.repeated),
        "autoencoder_bound": truth.figures(decode(model, batch.future)),
    }
    energy, teachers_energy = truth.gradient_energy, figures[its_teacher]["gradient_energy"]
    for entry in (*figures.values(), *baselines.values()):
        entry["sharpness_to_teacher"] = _ratio(entry["gradient_energy"], teachers_energy)
        entry["sharpness_to_truth"] = _ratio(entry.pop("gradient_energy"), energy)
    for steps in options.step_counts:
        figures[str(steps)]["agreement"] = _agreement(bundle, batch, noise, imagined, flow_map(steps), its_teacher)
    planner = figures[str(options.planner_steps)]
    results = {
        "clips": len(rows),
        "episodes": footage.episodes(rows),
        "planner_steps": options.planner_steps,
        "gain_changed_db": _difference(planner, baselines["repeat_last"], "psnr_changed_last"),
        "gain_changed_all_frames_db": _difference(planner, baselines["repeat_last"], "psnr_changed"),
        "teacher": {"steps": options.teacher_steps, "guidance": list(options.guidance)},
        "teacher_with_guidance": figures.pop(guided.name),
        "steps": figures,
        **baselines,
    }
    return results, _media(bundle, truth, imagined, videos, options)


def latent_error(imagined: Tensor, batch: Batch) -> list[float]:
    """Squared latent error of each frame, relative to that of repeating the newest one."""
    error = (imagined - batch.future).square().mean(dim=(0, 2, 3, 4))
    still = (batch.history[:, -1:] - batch.future).square().mean(dim=(0, 2, 3, 4))
    return [round(value, 4) for value in (error / still).tolist()]


def _imagine(bundle: Bundle, batch: Batch, noise: Tensor, walk: Walk, say: Say) -> Imagined:
    return walk.clips(bundle, batch, noise, tick=lambda share: say(f"quality: {in_steps(walk.name)}", share))


def _agreement(
    bundle: Bundle, batch: Batch, noise: Tensor, imagined: dict[str, Imagined], walk: Walk, teacher: str
) -> dict[str, float]:
    """Squared latent distance to the teacher's sample over how far that moved: same noise, and another clip's noise.

    The second number is what a flow map would score that knows what usually happens but not what this noise means.
    """
    sample = imagined[teacher].latents
    moved = (batch.history[:, -1:] - sample).square().mean()
    other = walk.clips(bundle, batch, noise.roll(1, dims=0)).latents
    return {
        "same_noise": round(((imagined[walk.name].latents - sample).square().mean() / moved).item(), 4),
        "other_noise": round(((other - sample).square().mean() / moved).item(), 4),
    }


def _media(
    bundle: Bundle, truth: Truth, imagined: dict[str, Imagined], videos: dict[str, Tensor], options: Options
) -> Media:
    """A few clips in which much moves: real, imagined, doubted."""
    motion = truth.changed.float().mean(dim=(1, 2, 3, 4))
    lively = motion.argsort(descending=True)[: max(EXAMPLES, len(motion) // 2)]
    heatmap = Heatmap(bundle.world_model, len(bundle.config.views), bundle.config.image_size)
    planner = str(options.planner_steps)
    shown = dict.fromkeys([planner, *(name for name in ("4", str(options.teacher_steps)) if name in videos)])
    media = Media()
    for number, clip in enumerate(lively[:: max(1, len(lively) // EXAMPLES)][:EXAMPLES].tolist(), start=1):
        found = imagined[planner]
        one = Imagined(*(getattr(found, field)[[clip]] for field in ("latents", "history", "history_poses", "actions")))
        h = bundle.uncertainty(one).h
        frames = {"real": truth.real[[clip]]}
        frames |= {_called(name, options): videos[name][[clip]] for name in shown}
        frames |= {"doubt": heatmap.colours(h), "doubt\nover it": heatmap.over(videos[planner][[clip]], h)}
        now = truth.current[[clip]][:, None]
        start = {"doubt": heatmap.colours(torch.zeros_like(h[:, :1]))}
        media.videos[f"Clip {number}"] = comparison(
            {name: torch.cat([start.get(name, now), video], dim=1)[0].numpy() for name, video in frames.items()}
        )
    return media


def _called(name: str, options: Options) -> str:
    return in_steps(name) if name != str(options.teacher_steps) else f"teacher\n{name} steps"


def _ratio(value: float, reference: float) -> float | None:
    return round(value / reference, 3) if reference > 0 else None


def _difference(first: dict[str, Any], second: dict[str, Any], key: str) -> float | None:
    return None if first[key] is None or second[key] is None else round(first[key] - second[key], 2)
