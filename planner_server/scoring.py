"""The global planner's reward: uncertainty-weighted semantic relevance with centring (paper 3.4), per region and view.

For one view of one imagined frame, with relevance map R and uncertainty h on its cells:

* weighted relevance ``w(h) R``; its highest region is every cell above a share of its peak;
* ``r_s`` is the relevance and ``w`` the weight of that region (means weighted by w(h) R), ``c_r`` its centroid;
* ``c`` is the pinch point as the camera sees it for the *commanded* pose (known kinematics, not a hallucinated arm);
* ``r = w (r_s - lambda min(d(c, c_r), 1))``, a negative value being amplified instead of damped
  (`weighting.apply_weight`).

The frame's reward is the mean over the views in use, less what the tool is aside of the object's place on the table;
the trajectory's is the maximum over its frames, as in the paper.
Views in use are the same for all candidates of a plan, or hiding the object would pay: those in which the object is
seen in the newest real frame, else those in which most candidates imagine it. A view from the arm itself counts less:
whatever is off centre moves further off as the hand goes down on it (`docs/planner.md` has the figures).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from planner_server.config import PlannerConfig
from planner_server.weighting import apply_weight, confidence_weight


@dataclass(frozen=True)
class Scores:
    """The global planner's view of B candidates, every field ``(B,)`` unless said otherwise.

    Attributes:
        reward: Maximum over the frames of the views' mean weighted reward, plus the exploration bonus.
        frame: Index of the frame that earned it, the last of equals.
        relevance: r_s at that frame, mean over the views in use.
        distance: d(c, c_r) at that frame, image widths, mean over the views in use.
        weight: w(h) applied at that frame, mean over the views in use.
        uncertainty: Mean h over the whole imagined video.
        frame_reward: ``(B, H)`` weighted reward of every frame.
        frame_distance: ``(B, H)`` d(c, c_r) of every frame; infinite where no view is in use.
        views: ``(V,)`` weights of the views, zero for those left out.
        exploration: What there is to learn from each candidate: its bonus when nothing can be trusted.
    """

    reward: Tensor
    frame: Tensor
    relevance: Tensor
    distance: Tensor
    weight: Tensor
    uncertainty: Tensor
    frame_reward: Tensor
    frame_distance: Tensor
    views: Tensor
    exploration: Tensor


def score(
    relevance: Tensor,
    h: Tensor,
    centres: Tensor,
    aside: Tensor,
    seen_now: Tensor,
    view_weights: Tensor,
    travel: Tensor,
    config: PlannerConfig,
) -> Scores:
    """Reward B imagined futures.

    Args:
        relevance: ``(B, H, V, a, b)`` relevance of the target phrase, in [0, 1].
        h: ``(B, H, V, h, w)`` normalised uncertainty.
        centres: ``(B, H, V, 2)`` desired centres c, in image widths (see `view_geometry`).
        aside: ``(B, H)`` metres between the commanded tool and the object's place, seen from above.
        seen_now: ``(V,)`` highest relevance in each view of the newest real frame.
        view_weights: ``(V,)`` weight of each view where it sees the object.
        travel: ``(B,)`` share of the largest allowed path that a candidate explores, in [0, 1].
        config: Constants.
    """
    cells = relevance.shape[-2:]
    weight = confidence_weight(on_cells(h.flatten(0, 1), cells), config.doubt, config.weighting).view_as(relevance)
    weighted = weight * relevance
    peak = weighted.amax((-2, -1), keepdim=True)
    region = weighted * (weighted >= config.region * peak)
    mass = region.sum((-2, -1)).clamp(min=1e-9)

    r_s = (region * relevance).sum((-2, -1)) / mass
    w = (region * weight).sum((-2, -1)) / mass
    c_r = (region[..., None] * cell_centres(cells, relevance)).sum((-3, -2)) / mass[..., None]
    d = (centres - c_r).norm(dim=-1).clamp(max=1.0)
    views = view_weights * views_in_use(seen_now, r_s, config.visible)

    frame_reward = mean_over(apply_weight(w, r_s - config.centring * d), views) - config.ground * aside
    best = frame_reward.amax(1)
    earned = frame_reward >= best[:, None] - 1e-6
    frame = earned.shape[1] - 1 - earned.flip(1).int().argmax(1)
    trusted = mean_over(w * r_s, views).max()
    exploration = config.exploration * travel * h.mean((1, 2, 3, 4))

    def at_best(value: Tensor) -> Tensor:
        return mean_over(value, views).gather(1, frame[:, None])[:, 0]

    return Scores(
        reward=best + (1 - trusted) * exploration,
        frame=frame,
        relevance=at_best(r_s),
        distance=at_best(d),
        weight=at_best(w),
        uncertainty=h.mean((1, 2, 3, 4)),
        frame_reward=frame_reward,
        frame_distance=mean_over(d, views).masked_fill(~views.any(), torch.inf),
        views=views,
        exploration=exploration,
    )


def on_cells(h: Tensor, cells: Sequence[int]) -> Tensor:
    """Uncertainty ``(N, V, h, w)`` on the cells of a relevance map: ``(N, V, a, b)``."""
    return functional.interpolate(h, size=tuple(cells), mode="bilinear", align_corners=False)


def sureness(h: Tensor, shape: Sequence[int], config: PlannerConfig) -> Tensor:
    """Weight ``(V, a, b)`` of what is seen now, from the uncertainty ``(B, V, h, w)`` of what it will be next."""
    return confidence_weight(on_cells(h, shape[-2:]).mean(0), config.doubt, config.weighting)


def reached(V: Tensor) -> Tensor:
    """Highest expected return ``(B, H)`` up to each frame.

    What was reached is not lost again. After the fingers let go over the bowl, E[V] rises for a frame and then falls,
    because the imagined fall blurs; with the plain sum a hand full over the bowl would never open.
    """
    return V.cummax(dim=1).values


def views_in_use(seen_now: Tensor, r_s: Tensor, visible: float) -> Tensor:
    """Which views ``(V,)`` the reward looks at, the same for all candidates; none when the object is nowhere.

    Args:
        seen_now: ``(V,)`` highest relevance in the newest real frame.
        r_s: ``(B, H, V)`` relevance in the imagined frames.
        visible: Relevance from which an object counts as seen.
    """
    observed = seen_now >= visible
    imagined = (r_s >= visible).float().mean((0, 1)) > 0.5
    return torch.where(observed.any(), observed, imagined)


def mean_over(value: Tensor, views: Tensor) -> Tensor:
    """Mean of ``(B, H, V)`` over the views, weighted by ``(V,)``; zero when none has weight."""
    return (value * views).sum(-1) / views.sum().clamp(min=1e-9)


def cell_centres(cells: torch.Size | tuple[int, int], like: Tensor) -> Tensor:
    """Centres ``(a, b, 2)`` of the cells of a map over one view, x and y in image widths."""
    rows, columns = cells
    # Square cells: the map covers the view without cropping, so a cell is 1/columns wide and high.
    x = (torch.arange(columns, dtype=like.dtype, device=like.device) + 0.5) / columns
    y = (torch.arange(rows, dtype=like.dtype, device=like.device) + 0.5) / columns
    return torch.stack(torch.meshgrid(y, x, indexing="ij")[::-1], -1)
