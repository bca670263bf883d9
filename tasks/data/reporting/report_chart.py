"""The data report's plot: row lengths against the context window."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib
import numpy as np
from matplotlib.ticker import FuncFormatter, MaxNLocator

from tasks.pages.plots import GRID, MUTED, PLOT_STYLE, TUNED, UNTRAINED, bound_line, canvas, svg

BINS = 30
NEAR = 1.6  # a limit is drawn if it is at most this many times the longest row


def lengths_chart(lengths: Mapping[str, Sequence[int]], limit: int | None, window: int | None) -> str:
    """Return the share of each side's rows by length; `limit` is None if lengths are in characters."""
    longest = max([1, *(max(side, default=1) for side in lengths.values())])
    drawn = [] if limit is None or window is None else sorted({limit: "limit", window: "window"}.items())
    near = [(where, name) for where, name in drawn if where <= NEAR * longest]
    end = max([longest, *(where for where, _ in near)]) * 1.03
    edges = np.linspace(0, end, BINS + 1)
    with matplotlib.rc_context(PLOT_STYLE):
        figure, axes = canvas(2.9)
        for side, color, is_filled in (("train", UNTRAINED, True), ("held_out", TUNED, False)):
            counts = np.histogram(lengths.get(side, ()), edges)[0]
            shares, filled = 100 * counts / max(1, counts.sum()), {"fill": is_filled, "alpha": 0.55 if is_filled else 1}
            axes.stairs(shares, edges, color=color, **filled, linewidth=1.8, label=side.replace("_", " "))
        for where, name in near:
            bound_line(axes, where, f"{name} {where:,}", (-4, -2), "right", "top")
        axes.set_xlabel(_unit(drawn, near))
        axes.set_ylabel("% of the side's rows")
        _finish(axes, end)
        return svg(figure, "lengths", "Share of rows by length, train and held-out")


def _unit(drawn: Sequence[tuple[int, str]], near: Sequence[tuple[int, str]]) -> str:
    far = [f"{name} {where:,}" for where, name in drawn if (where, name) not in near]
    unit = f"{'tokens' if drawn else 'characters'} per row, prompt and answer"
    return f"{unit}\nbeyond the plot: {', '.join(far)}" if far else unit


def _finish(axes: Any, end: float) -> None:
    axes.set_xlim(0, end)
    axes.xaxis.set_major_locator(MaxNLocator(nbins=6, integer=True))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}"))
    axes.grid(axis="y", color=GRID, linewidth=0.7)
    axes.tick_params(axis="y", labelcolor=MUTED)
    axes.set_axisbelow(True)
    axes.legend(frameon=False, loc="lower left", bbox_to_anchor=(0, 1), ncols=2, handlelength=1.4, borderaxespad=0.2)
