"""The report's plots, as SVG text that takes its fonts from the page."""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from models.evaluation.names import in_steps

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

BLUE, ORANGE, GREEN, RED, GREY = "#2563eb", "#d97706", "#15803d", "#b91c1c", "#9ca3af"
PALETTE = (BLUE, ORANGE, GREEN, RED, "#7c3aed", "#0891b2")
Part = Mapping[str, Any]


def by_steps(quality: Part) -> str:
    """PSNR on changed pixels and SSIM by number of steps, with the baselines as lines."""
    steps = quality["steps"]
    told = f"steps (0: expected future, {quality['teacher']['steps']}: teacher)"

    def draw(figure: Figure) -> None:
        axes = figure.subplots(1, 2)
        for axis, key, label in zip(axes, ("psnr_changed", "ssim"), ("PSNR, changed pixels [dB]", "SSIM"), strict=True):
            axis.bar(
                list(steps),
                [entry[key] or 0 for entry in steps.values()],
                color=BLUE,
                width=0.6,
            )
            for name, colour in (("repeat_last", GREY), ("autoencoder_bound", GREEN)):
                axis.axhline(quality[name][key] or 0, color=colour, linestyle="--", label=name.replace("_", " "))
            shown = [
                entry[key] or 0 for entry in (*steps.values(), quality["repeat_last"], quality["autoencoder_bound"])
            ]
            margin = 0.15 * (max(shown) - min(shown)) + 1e-3
            axis.set(xlabel=told, ylabel=label, ylim=(min(shown) - margin, max(shown) + margin))
        axes[0].legend(frameon=False, loc="center")

    return _svg(draw, 8.4, 3.1)


def over_horizon(quality: Part) -> str:
    """PSNR on changed pixels frame by frame, rolled out, and the mean uncertainty beside it."""
    if "curve" not in quality["horizon"]:
        return ""
    curve = {name: values for name, values in quality["horizon"]["curve"].items() if isinstance(values, list)}
    doubt = curve.pop("h")

    def draw(figure: Figure) -> None:
        left, right = figure.subplots(1, 2)
        frames = np.arange(1, len(doubt) + 1)
        for index, (name, values) in enumerate(sorted(curve.items(), key=lambda item: item[0] == "repeat_last")):
            repeat = name == "repeat_last"
            label = "repeat last" if repeat else in_steps(name)
            left.plot(frames, np.array(values, float), color=GREY if repeat else PALETTE[index], label=label)
        left.set(xlabel="frames ahead (0.2 s each)", ylabel="PSNR, changed pixels [dB]")
        left.legend(frameon=False)
        right.plot(frames, doubt, color=ORANGE)
        right.set(xlabel="frames ahead", ylabel="mean uncertainty h")

    return _svg(draw, 8.4, 3.1)


def reliability(uncertainty: Part) -> str:
    """How often what is given a probability happens: all elements, moving ones, and unfamiliar recordings."""

    def draw(figure: Figure) -> None:
        left, right = figure.subplots(1, 2)
        _reliability(left, {"all elements": uncertainty["curve"], "moving": uncertainty["curve_moving"]})
        others = uncertainty["unfamiliar"]
        _reliability(right, {name: entry["curve_moving"] for name, entry in others.items()})
        left.set_title("in distribution")
        right.set_title("unfamiliar, moving elements")

    return _svg(draw, 8.4, 4.2)


def detection(uncertainty: Part) -> str:
    """The clip score of familiar and unfamiliar recordings."""
    groups = {"familiar": uncertainty["scores"]}
    groups |= {name: entry["scores"] for name, entry in uncertainty["unfamiliar"].items()}

    def draw(figure: Figure) -> None:
        axis = figure.subplots()
        everything = np.concatenate([np.array(values) for values in groups.values()])
        low, high = everything.min(), np.quantile(everything, 0.95)  # what is very strange is in the last column
        edges = np.histogram_bin_edges(everything, 30, range=(low, high))
        for (name, values), colour in zip(groups.items(), PALETTE, strict=False):
            shown = np.clip(values, low, high)
            axis.hist(shown, edges.tolist(), density=True, histtype="step", color=colour, linewidth=1.6, label=name)
        axis.set(xlabel=f"score of a clip: {uncertainty['score']}", ylabel="density")
        axis.legend(frameon=False)

    return _svg(draw, 5.4, 3.1)


def tracking(controllability: Part) -> str:
    """Imagined against commanded displacement of the tool, an axis each."""
    commanded, imagined = (np.array(controllability["points_cm"][key]) for key in ("commanded", "imagined"))

    def draw(figure: Figure) -> None:
        for index, axis in enumerate(figure.subplots(1, 3)):
            reach = 1.05 * float(max(abs(commanded[:, index]).max(), abs(imagined[:, index]).max()))
            axis.plot([-reach, reach], [-reach, reach], color=GREY, linewidth=1)
            axis.plot(commanded[:, index], imagined[:, index], ".", color=BLUE, markersize=3, alpha=0.6)
            axis.set(
                xlabel=f"commanded {'xyz'[index]} [cm]", xlim=(-reach, reach), ylim=(-reach, reach), aspect="equal"
            )
            if index == 0:
                axis.set_ylabel("imagined [cm]")

    return _svg(draw, 9.2, 3.2)


def value(reward: Part) -> str:
    """Mean predicted value along successful and failing episodes."""

    def draw(figure: Figure) -> None:
        axis = figure.subplots()
        for (name, rows), colour in zip(reward["curves"].items(), (GREEN, RED), strict=True):
            if rows:
                moments, means, errors, counts = np.array(rows).T
                label = f"{name} (n = {int(counts.max())})"
                axis.errorbar(moments, means, errors, color=colour, marker="o", markersize=4, capsize=2, label=label)
        axis.set(xlabel="share of the episode", ylabel="predicted value", xlim=(0, 1))
        axis.legend(frameon=False)

    return _svg(draw, 5.4, 3.1)


def _reliability(axis: Axes, curves: Mapping[str, Sequence[Sequence[float]]]) -> None:
    axis.plot([0, 1], [0, 1], color=GREY, linewidth=1)
    for (name, rows), colour in zip(curves.items(), PALETTE, strict=False):
        if rows:
            confidence, frequency, _ = np.array(rows).T
            axis.plot(confidence, frequency, color=colour, marker="o", markersize=4, label=name)
    axis.set(xlabel="predicted probability", ylabel="frequency", xlim=(0, 1), ylim=(0, 1), aspect="equal")
    if any(curves.values()):
        axis.legend(frameon=False, loc="upper left")


def _svg(draw: Callable[[Figure], None], width: float, height: float) -> str:
    import matplotlib
    from matplotlib.figure import Figure

    style: dict[Any, Any] = {
        "svg.fonttype": "none",
        "svg.hashsalt": "vidplan",  # the same plot is the same text
        "font.size": 9,
        "axes.spines.top": False,
        "axes.spines.right": False,
    }
    with matplotlib.rc_context(style):
        figure = Figure(figsize=(width, height), layout="constrained")
        draw(figure)
        text = io.StringIO()
        figure.savefig(text, format="svg", metadata={"Date": None})
    return text.getvalue()[text.getvalue().index("<svg") :]
