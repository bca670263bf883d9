"""The verdict report's plots."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, get_args

import matplotlib
from matplotlib.ticker import MaxNLocator

from schemas.findings.endpoints import EndpointReport
from schemas.findings.gate import GateReport
from schemas.reports import ArmReport, ChampionReport, Verdict
from schemas.sections.arms import TrainedArm
from tasks.pages.plots import BAD, GRID, MUTED, PLOT_STYLE, TARGET, TUNED, UNSURE, UNTRAINED, bound_line, canvas, svg

TRAINED = get_args(TrainedArm)
LOSSES = {"kept": TUNED, "inconclusive": UNSURE, "lost": BAD}
HOLLOW = {"marker": "o", "markerfacecolor": "none"}


def arms_chart(verdict: Verdict) -> str:
    """Return the mean score and interval of every arm, the champion and endpoints, against the target."""
    shown: list[tuple[str, ArmReport | ChampionReport | EndpointReport, str]] = [
        (arm.arm, arm, TUNED if arm.arm in TRAINED else UNTRAINED) for arm in verdict.arms
    ]
    shown += [(f"champion v{verdict.champion.version}", verdict.champion, TARGET)] if verdict.champion else []
    shown += [(endpoint.name, endpoint, TARGET) for endpoint in verdict.endpoints if not endpoint.problem]
    with matplotlib.rc_context(PLOT_STYLE):
        figure, axes = canvas(0.42 * len(shown) + 0.95)
        for place, (_, arm, color) in enumerate(reversed(shown)):
            _interval(axes, place, (arm.low, arm.score, arm.high), color)
            _beside(axes, place, f"{arm.score:.3f}")
        if verdict.target is not None:
            _target_line(axes, verdict.target, f"target {verdict.target:g}")
        _rows(axes, [name for name, _, _ in reversed(shown)])
        axes.set_xlim(-0.02, 1.02)
        axes.set_xlabel(f"mean score with its {verdict.confidence:.0%} interval")
        against = "" if verdict.target is None else f", against a target of {verdict.target:g}"
        return svg(figure, "arms", f"Mean score of each arm with its interval{against}")


def costs_chart(verdict: Verdict) -> str:
    """Return every arm's mean score with its interval against the price of 1,000 answers; nothing without prices."""
    prices = {cost.arm: cost.per_thousand for cost in verdict.costs.arms} if verdict.costs else {}
    priced = [(arm, price) for arm in verdict.arms if (price := prices.get(arm.arm)) is not None]
    if not priced or verdict.costs is None:
        return ""
    with matplotlib.rc_context(PLOT_STYLE):
        figure, axes = canvas(2.9)
        for arm, price in priced:
            color = TUNED if arm.arm in TRAINED else UNTRAINED
            axes.plot([price, price], [arm.low, arm.high], color=color, linewidth=3.2, alpha=0.45, zorder=2)
            axes.plot([price], [arm.score], color=color, marker="o", markersize=8, zorder=3)
            axes.annotate(arm.arm, (price, arm.score), xytext=(7, 5), textcoords="offset points", color=MUTED)
        if verdict.target is not None:
            axes.axhline(verdict.target, color=TARGET, linewidth=1.0, linestyle=(0, (4, 3)))
        axes.set_xlim(0, 1.25 * max(price for _, price in priced) or 1)
        axes.set_ylim(-0.02, 1.02)
        axes.grid(visible=True, color=GRID)
        axes.set_xlabel(f"{verdict.costs.currency} for 1,000 answers")
        axes.set_ylabel("mean score")
        return svg(figure, "costs", "Mean score of each arm with its interval against the price of 1,000 answers")


def before_after_chart(gate: GateReport) -> str:
    """Return every benchmark task's accuracy before (hollow) and after (filled) tuning."""
    tasks = list(reversed(gate.shown))
    with matplotlib.rc_context(PLOT_STYLE):
        figure, axes = canvas(0.42 * len(tasks) + 0.95)
        for place, task in enumerate(tasks):
            color = LOSSES[task.standing]
            _bar(axes, place, task.base, task.tuned, color)
            axes.plot([task.base], [place], color=UNTRAINED, **HOLLOW, markersize=8, markeredgewidth=1.8, zorder=3)
            axes.plot([task.tuned], [place], marker="o", markersize=8, color=color, markeredgewidth=0, zorder=4)
            _beside(axes, place, f"{task.base:.3f} → {task.tuned:.3f}")
        _rows(axes, [task.task for task in tasks])
        axes.set_xlim(-0.02, 1.02)
        axes.set_xlabel("accuracy")
        return svg(figure, "accuracy", "Accuracy on each benchmark task before and after tuning")


def change_chart(gate: GateReport) -> str:
    """Return the change on every benchmark task, with its interval, against the margin."""
    tasks = list(reversed(gate.shown))
    with matplotlib.rc_context(PLOT_STYLE):
        figure, axes = canvas(0.42 * len(tasks) + 0.95)
        for place, task in enumerate(tasks):
            _interval(axes, place, (task.low, task.difference, task.high), LOSSES[task.standing])
            _beside(axes, place, signed(task.difference))
        axes.axvline(0, color=MUTED, linewidth=0.9, zorder=1)
        _target_line(axes, -gate.margin, f"margin −{gate.margin:g}")
        _rows(axes, [task.task for task in tasks])
        reach = 1.08 * max([gate.margin, 0.02, *(abs(bound) for task in tasks for bound in (task.low, task.high))])
        axes.set_xlim(-reach, reach)
        axes.set_xlabel("change in accuracy by tuning")
        return svg(figure, "change", "Change in accuracy on each benchmark task, tuned minus base, with its interval")


def loss_chart(log: Sequence[Mapping[str, Any]]) -> str:
    """Return the training loss by step, and the validation loss where it was measured, with its lowest point marked."""
    train = [(entry["step"], entry["loss"]) for entry in log if "loss" in entry]
    validation = [(entry["step"], entry["validation_loss"]) for entry in log if "validation_loss" in entry]
    with matplotlib.rc_context(PLOT_STYLE):
        figure, axes = canvas(2.9)
        if train:
            marker = "." if len(train) == 1 else ""
            axes.plot(*zip(*train, strict=True), color=UNTRAINED, linewidth=1.2, marker=marker, label="train")
        if validation:
            dots = {"linewidth": 1.6, "marker": "o", "markersize": 4.5}
            axes.plot(*zip(*validation, strict=True), color=TUNED, **dots, label="validation")
            step, lowest = min(validation, key=lambda point: point[1])
            axes.plot([step], [lowest], color=TARGET, **HOLLOW, markersize=10, markeredgewidth=1.4)
            above = {"xytext": (0, 10), "textcoords": "offset points", "ha": "center"}
            axes.annotate(f"best {lowest:.3f}", (step, lowest), **above, color=TARGET)
        axes.grid(axis="y", color=GRID, linewidth=0.7)
        axes.xaxis.set_major_locator(MaxNLocator(nbins=6, integer=True))
        axes.set_ylim(0, 1.12 * max(loss for _, loss in [*train, *validation]))
        axes.set_xlabel("step")
        axes.set_ylabel("loss")
        axes.tick_params(axis="y", labelcolor=MUTED)
        axes.legend(frameon=False, loc="upper right", handlelength=1.4)
        return svg(figure, "loss", "Training and validation loss by step")


def signed(value: float) -> str:
    """Return a difference with its sign; the minus is as wide as the plus."""
    return f"{value:+.3f}".replace("-", "−")


def _bar(axes: Any, place: int, start: float, end: float, color: str) -> None:
    axes.plot([start, end], [place, place], color=color, linewidth=3.2, alpha=0.45, solid_capstyle="round", zorder=2)


def _interval(axes: Any, place: int, bounds: tuple[float, float, float], color: str) -> None:
    low, middle, high = bounds
    _bar(axes, place, low, high, color)
    axes.plot([middle], [place], marker="o", markersize=8, color=color, markeredgewidth=0, zorder=3)


def _beside(axes: Any, place: int, label: str) -> None:
    right = {"xytext": (8, 0), "textcoords": "offset points", "xycoords": ("axes fraction", "data")}
    axes.annotate(label, (1.0, place), **right, va="center")


def _target_line(axes: Any, where: float, label: str) -> None:
    bound_line(axes, where, label, (0, 4), "center", "bottom")


def _rows(axes: Any, names: Sequence[str]) -> None:
    axes.set_yticks(range(len(names)), names)
    axes.set_ylim(-0.6, len(names) - 0.4)
    axes.tick_params(axis="y", length=0)
    axes.spines["left"].set_visible(False)
    axes.grid(axis="x", color=GRID, linewidth=0.7)
    axes.set_axisbelow(True)
