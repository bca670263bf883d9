"""Plots as inline SVG: equal numbers give equal bytes, and the colours follow the page's, light or dark.

Plots are drawn at a phone's width with text at reading size; on a wide screen two are shown side by side.
"""

from __future__ import annotations

import io
import re
from typing import Any

import matplotlib
from matplotlib.figure import Figure

# Placeholders that become CSS variables of the page, so that one plot serves light and dark.
INK, MUTED, GRID, UNTRAINED, TUNED, TARGET, BAD, UNSURE = (f"#00000{place}" for place in range(1, 9))
VARIABLES = {
    INK: "--ink",
    MUTED: "--muted",
    GRID: "--line",
    UNTRAINED: "--plain",
    TUNED: "--tuned",
    TARGET: "--target",
    BAD: "--bad",
    UNSURE: "--unsure",
}
PLOT_STYLE = {
    "svg.fonttype": "none",
    "font.family": "DejaVu Sans",
    "font.size": 10.5,
    "text.color": INK,
    "axes.labelcolor": MUTED,
    "axes.edgecolor": GRID,
    "xtick.color": MUTED,
    "ytick.color": INK,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "figure.facecolor": "none",
    "axes.facecolor": "none",
    "path.simplify": False,
}
WIDTH = 4.7  # inches: 338 points


def canvas(height: float) -> tuple[Figure, Any]:
    """Return a figure of a page's width and this height (inches), and its axes."""
    figure = Figure(figsize=(WIDTH, height), layout="constrained")
    return figure, figure.add_subplot()


def bound_line(axes: Any, where: float, label: str, place: tuple[int, int], across: str, along: str) -> None:
    """Draw a dashed upright line with its label at the top, `place` points away, aligned `across` and `along`."""
    axes.axvline(where, color=TARGET, linewidth=1.3, linestyle=(0, (4, 3)), zorder=1)
    top = {"xytext": place, "textcoords": "offset points", "xycoords": ("data", "axes fraction")}
    axes.annotate(label, (where, 1.0), **top, ha=across, va=along, color=TARGET)


def svg(figure: Figure, name: str, title: str) -> str:
    """Return the figure as <svg> without date or links, with ids of its own and the page's colours and font."""
    stream = io.StringIO()
    with matplotlib.rc_context({"svg.hashsalt": name, "svg.id": name}):
        nothing = dict.fromkeys(("Date", "Creator", "Format", "Type"))
        figure.savefig(stream, format="svg", transparent=True, metadata=nothing)
    text = stream.getvalue()
    for pattern, wanted in _CLEANING:
        text = pattern.sub(wanted, text)
    for color, variable in VARIABLES.items():
        text = text.replace(color, f"var({variable})")
    # Two plots on one page must not share ids.
    text = re.sub(rf'id="(?!{name}")', f'id="{name}-', text)
    text = re.sub(r'(href="|url\()#', rf"\1#{name}-", text)
    return text.replace("<svg ", f'<svg role="img" aria-label="{title}" ', 1)


_CLEANING = [
    (re.compile(r"^.*?(?=<svg)", re.DOTALL), ""),
    (re.compile(r"\s*<defs>\s*<style.*?</style>\s*</defs>", re.DOTALL), ""),
    (re.compile(r"\s*<metadata>.*?</metadata>", re.DOTALL), ""),
    (re.compile(r' xmlns(?::xlink)?="[^"]*"| (?:width|height)="[\d.]+pt"'), ""),
    (re.compile(r"xlink:href"), "href"),
    (re.compile(r"(?:font-family: )?'DejaVu Sans'(?:, [^;\"]*)?;? ?"), ""),
    (re.compile(r"font: ([\d.]+px) ?"), r"font-size: \1"),
]
