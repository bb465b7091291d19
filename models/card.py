"""The figures of an evaluation as Markdown, for a bundle's CARD.md."""

from __future__ import annotations

from typing import Any


def figures_as_markdown(results: dict[str, Any]) -> str:
    """Tables of `measure.measure`'s results."""
    data = results["data"]
    lines = [
        f"Measured on {data['clips']} clips of {data['episodes']} held-out episodes ({data['frames']} frames), "
        f"weights `{results['hash'][:12]}`.",
        "",
        "### Video",
        "",
        "PSNR in dB over all pixels of the imagined frames, over the changed ones, and over the changed ones of the "
        "last frame. The latent error is squared and relative to repeating the newest frame; *swapped* is how many "
        "times larger it gets under another clip's actions.",
        "",
        "| | all | changed | changed, 5th | left | right | wrist | latent error | 5th frame | swapped | ms/clip |",
        "|---|---|---|---|---|---|---|---|---|---|---|",
    ]
    for name, entry in results.items():
        if isinstance(entry, dict) and "psnr" in entry:
            lines.append(_video_row(name, entry))
    lines += ["", "### Agreement with the diffusion model on the same noise", ""]
    agreement = results["agreement with the diffusion model on the same noise"]
    lines.append("Squared distance over how far the diffusion model moved: " + _list(agreement) + ".")
    for title in ("uncertainty", "value"):
        if title in results:
            lines += ["", f"### {title.capitalize()} head (one step)", "", "| figure | value |", "|---|---|"]
            lines += [f"| {name} | {value} |" for name, value in results[title].items()]
    for title in [name for name in results if name.startswith("semantic")]:
        lines += ["", f"### {title.capitalize()}", "", "Centroid error in pixels of the 80x48 view.", ""]
        lines += ["| object, view | error | 90 % | found | false when absent |", "|---|---|---|---|---|"]
        lines += [
            f"| {name} | " + " | ".join(str(entry.get(key, "")) for key in ("error", "p90", "found", "false")) + " |"
            for name, entry in results[title].items()
        ]
    return "\n".join(lines) + "\n"


def _video_row(name: str, entry: dict[str, Any]) -> str:
    views = [value for key, value in entry.items() if key.startswith("psnr changed, last frame, ")]
    cells = [entry["psnr"], entry["psnr changed"], entry["psnr changed, last frame"], *views]
    if "relative latent error" in entry:
        cells += [entry["relative latent error"], entry["relative latent error per frame"][-1]]
        cells += [entry["swapped-action error ratio"], entry["ms per clip"]]
    else:
        cells += ["", "", "", ""]
    return f"| {name} | " + " | ".join(str(cell) for cell in cells) + " |"


def _list(entries: dict[str, Any]) -> str:
    return ", ".join(f"{name} {value}" for name, value in entries.items())
