"""`report.html`: one page that needs nothing beside it."""

from __future__ import annotations

import base64
import io
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from html import escape
from importlib import resources
from string import Template
from typing import Any

import av
import cv2
import numpy as np

from models.evaluation import plots, probes_table, tables
from models.evaluation.media import Media
from models.evaluation.tables import Table

FRAMES_PER_SECOND = Fraction(5, 2)
"""Half the speed of the world."""
Part = Mapping[str, Any]


@dataclass(frozen=True)
class Section:
    """What is shown of one part of the results."""

    tables: Sequence[Callable[[Part], Table]] = ()
    plots: Sequence[Callable[[Part], str]] = ()


SECTIONS: Sequence[tuple[str, Section]] = (
    ("quality", Section((tables.quality, tables.horizon), (plots.by_steps, plots.over_horizon))),
    ("speedup", Section((tables.speed,))),
    ("controllability", Section((tables.controllability,), (plots.tracking,))),
    (
        "uncertainty",
        Section((tables.calibration, tables.correlation, tables.detection), (plots.reliability, plots.detection)),
    ),
    ("probes", Section((probes_table.probes, probes_table.targets), (probes_table.reliabilities,))),
    ("reward", Section((tables.reward, tables.semantic), (plots.value,))),
    ("ranking", Section((tables.ranking, tables.refinement))),
    ("plan_seconds", Section((tables.plan,))),
)


def page(results: Mapping[str, Any], media: Media) -> str:
    """The page as text."""
    template = Template(resources.files("models.evaluation").joinpath("page.html").read_text())
    bundle = results.get("bundle", {})
    return template.substitute(
        title=escape(f"Evaluation of the {bundle['name']} bundle" if "name" in bundle else "Evaluation"),
        subtitle=escape(_subtitle(results)),
        failed=_failed(results.get("failed", {})),
        targets=_table(tables.targets(results)),
        videos="".join(_video(title, frames) for title, frames in media.videos.items())
        + "".join(_picture(title, pixels) for title, pixels in media.pictures.items()),
        sections="".join(_section(results[part], section) for part, section in SECTIONS if part in results),
        machine=_list({**results.get("machine", {}), **results.get("data", {})}),
    )


def _subtitle(results: Mapping[str, Any]) -> str:
    bundle, data = results.get("bundle", {}), results.get("data", {})
    words = [f"weights {bundle['sha256'][:12]}"] if "sha256" in bundle else []
    words += [f"{data['episodes']} held-out episodes"] if "episodes" in data else []
    words += ["quick: few clips, wide margins"] if results.get("quick") else []
    return "  ·  ".join(words)


def _failed(failed: Mapping[str, str]) -> str:
    items = "".join(
        f"<li><b>{escape(part)}</b> could not be measured: {escape(why)}</li>" for part, why in failed.items()
    )
    return f'<ul class="failed">{items}</ul>' if items else ""


def _section(part: Part, section: Section) -> str:
    shown = [_table(table(part)) for table in section.tables]
    shown += [_figure(plot(part), plot.__doc__ or "") for plot in section.plots]
    return "".join(shown)


def _table(table: Table) -> str:
    head, *rows = table.rows
    lines = ["<tr>" + "".join(f"<th>{escape(cell)}</th>" for cell in head) + "</tr>"]
    for first, *cells in rows:
        mark = f' class="{cells[-1]}"' if cells[-1] in ("met", "missed") else ""
        lines.append(
            f"<tr{mark}><th>{escape(first)}</th>" + "".join(f"<td>{escape(cell)}</td>" for cell in cells) + "</tr>"
        )
    text = f"<p>{escape(table.text)}</p>" if table.text else ""
    return f'<h2>{escape(table.title)}</h2>{text}<div class="wide"><table>{"".join(lines)}</table></div>'


def _video(title: str, frames: np.ndarray) -> str:
    source = base64.b64encode(mp4(frames)).decode()
    tag = f'<video src="data:video/mp4;base64,{source}" muted loop autoplay playsinline controls></video>'
    return _figure(tag, title)


def _picture(title: str, pixels: np.ndarray) -> str:
    done, png = cv2.imencode(".png", np.ascontiguousarray(pixels[..., ::-1]))
    if not done:
        raise ValueError(f"cannot encode picture {title} of shape {pixels.shape}")
    source = base64.b64encode(png.tobytes()).decode()
    return _figure(f'<img src="data:image/png;base64,{source}">', title)


def _figure(shown: str, caption: str) -> str:
    return f"<figure>{shown}<figcaption>{escape(caption)}</figcaption></figure>" if shown else ""


def _list(facts: Mapping[str, Any]) -> str:
    return "".join(f"<li>{escape(str(name))}: {escape(str(value))}</li>" for name, value in facts.items())


def mp4(frames: np.ndarray) -> bytes:
    """Frames ``(T, rows, columns, 3)`` uint8 RGB, of even size, as an H.264 video."""
    target = io.BytesIO()
    with av.open(target, "w", format="mp4") as container:
        stream = container.add_stream("libx264", rate=FRAMES_PER_SECOND, options={"crf": "20"})
        stream.height, stream.width, stream.pix_fmt = frames.shape[1], frames.shape[2], "yuv420p"
        for picture in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(np.ascontiguousarray(picture), format="rgb24")))
        container.mux(stream.encode())
    return target.getvalue()
