"""The report as one HTML file that needs nothing else: the verdict first, then everything that it stands on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import jinja2
from markupsafe import Markup

from schemas.artifacts import DataArtifact
from schemas.reports import Verdict
from tasks.decision.charts import arms_chart, before_after_chart, change_chart, loss_chart, signed
from tasks.decision.page_style import STYLE
from tasks.decision.page_template import TEMPLATE
from tasks.decision.samples import Sample

MOODS = {"good": "good", "unclear": "unsure", "short": "bad"}
LONGEST_TEXT = 1500  # characters of a prompt or an answer that are shown
STANDINGS = {"good": "met", "unclear": "unclear", "short": "missed"}


@dataclass(frozen=True)
class ReportPage:
    """Everything that a report shows.

    Attributes:
        name: the run's name.
        verdict: the decision with its numbers.
        data: rows and reasons of refusal.
        samples: rows with every arm's answer.
        log: the training log, one mapping a step (`step`, `loss` or `validation_loss`); empty without a training.
        training: short facts about the training, such as "qlora" or "rank 16".
        digests: artifact -> digest, in the order to be shown.
    """

    name: str
    verdict: Verdict
    data: DataArtifact
    samples: Sequence[Sample] = ()
    log: Sequence[Mapping[str, Any]] = ()
    training: Sequence[str] = ()
    digests: Mapping[str, str] = field(default_factory=dict)


def render_report(page: ReportPage) -> str:
    """Return the report. Equal input gives equal bytes; nothing in it points outside."""
    environment = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, keep_trailing_newline=True)
    environment.filters |= _FILTERS
    gate = page.verdict.gate
    charts = {
        "arms": _own(arms_chart(page.verdict)),
        "accuracy": _own(before_after_chart(gate)) if gate else "",
        "change": _own(change_chart(gate)) if gate else "",
        "loss": _own(loss_chart(page.log)) if page.log else "",
    }
    headline, _, numbers = page.verdict.headline.partition(". ")
    words = {
        "headline": headline.rstrip("."),
        "numbers": numbers,
        "facts": _facts(page.verdict),
        "mood": _mood(page.verdict),
        "moods": MOODS,
        "standings": STANDINGS,
    }
    return environment.from_string(TEMPLATE).render(page=page, verdict=page.verdict, charts=charts, style=_own(STYLE), **words)


def _own(text: str) -> Markup:
    """Let markup through that was made here; everything else on the page is escaped."""
    return Markup(text)  # noqa: S704


def _mood(verdict: Verdict) -> str:
    if verdict.is_refused_by_gate or verdict.verdict == "none_good_enough":
        return "bad"
    return "unsure" if verdict.verdict == "undecided" else "good"


def _facts(verdict: Verdict) -> list[tuple[str, str]]:
    """Return (value, label) of the few numbers that are read first."""
    best = max(verdict.arms, key=lambda arm: arm.score)
    facts = [(f"{best.score:.3f}", f"best arm: {best.arm}"), (f"{verdict.target:g}", "target"), (str(verdict.rows), "held-out rows")]
    gains = [(arm.gain, arm.arm) for arm in verdict.arms if arm.gain is not None]
    if gains:
        gain, arm = max(gains)
        facts.append((signed(gain), f"gain of {arm}"))
    if verdict.gate:
        facts.append(("open" if verdict.gate.is_passed else "shut", "gate"))
    if verdict.rows_needed:
        facts.append((str(verdict.rows_needed), "rows that would tell"))
    return facts


def _cut(text: str) -> str:
    """Return a text, or its beginning and how much is left out."""
    return text if len(text) <= LONGEST_TEXT else f"{text[:LONGEST_TEXT]} … (+{len(text) - LONGEST_TEXT} characters)"


_FILTERS: dict[str, Any] = {
    "two": lambda value: f"{value:.2f}",
    "three": lambda value: f"{value:.3f}",
    "short": lambda value: f"{value:g}",
    "signed": signed,
    "cut": _cut,
    "percent": lambda value: f"{value:.0%}",
    "whole": lambda value: f"{value:.0f}",
}
