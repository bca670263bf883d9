"""The report as one self-contained HTML file: the verdict first, then everything that it is based on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, get_args

from schemas.artifacts import DataArtifact
from schemas.findings.advice import ErrorKind, Errors
from schemas.reports import Verdict
from tasks.decision.page.charts import arms_chart, before_after_chart, change_chart, costs_chart, loss_chart, signed
from tasks.decision.page.details import DetailTable, both_readings
from tasks.decision.page.page_template import TEMPLATE
from tasks.decision.verdict.wording import GAIN_NAMES, gate_sentences
from tasks.pages.page import own, rendered
from tasks.statistics.clusters import FEWEST_GROUPS

MOODS = {"good": "good", "unclear": "unsure", "short": "bad"}
STANDINGS = {"good": "met", "unclear": "inconclusive", "short": "missed"}
KEPT_UP = {"good": "keeps up", "unclear": "inconclusive", "short": "falls behind"}
GAIN_MOODS = {"worth_it": "good", "unclear": "unsure", "not_worth_it": "bad"}
LOSS_MOODS = {"kept": "good", "inconclusive": "unsure", "lost": "bad"}
GATE_MOODS = {"open": "good", "inconclusive": "unsure", "shut": "bad"}


@dataclass(frozen=True)
class ReportPage:
    """Everything that a report shows.

    Attributes:
        name: the run's name.
        verdict: the decision with its numbers.
        data: row counts and reasons for refusal.
        rows: what the browser of answers shows, as JSON (tasks/decision/page/flips.py); "" for none.
        log: the training log, one mapping per step (`step`, `loss` or `validation_loss`); empty without training.
        training: short facts about the training, such as "qlora" or "rank 16".
        digests: artifact -> digest, in display order.
        details: tables of fields or labels.
    """

    name: str
    verdict: Verdict
    data: DataArtifact
    rows: str = ""
    log: Sequence[Mapping[str, Any]] = ()
    training: Sequence[str] = ()
    digests: Mapping[str, str] = field(default_factory=dict)
    details: Sequence[DetailTable] = ()


def render_report(page: ReportPage) -> str:
    """Return the report. Equal input gives equal bytes; it loads nothing from elsewhere."""
    gate = page.verdict.gate
    charts = {
        "arms": own(arms_chart(page.verdict)),
        "costs": own(costs_chart(page.verdict)),
        "accuracy": own(before_after_chart(gate)) if gate else "",
        "change": own(change_chart(gate)) if gate else "",
        "loss": own(loss_chart(page.log)) if page.log else "",
    }
    headline, _, numbers = page.verdict.headline.partition(". ")
    words = {
        "headline": headline.rstrip("."),
        "numbers": numbers,
        "facts": _facts(page.verdict),
        "mood": _mood(page.verdict),
        "moods": MOODS,
        "standings": KEPT_UP if page.verdict.target is None else STANDINGS,
        "gain_moods": GAIN_MOODS,
        "gain_names": GAIN_NAMES,
        "reasons": _reasons(page.verdict),
        "loss_moods": LOSS_MOODS,
        "gate_moods": GATE_MOODS,
        "errors": _errors(page.verdict),
        "columns": ", ".join(dict.fromkeys(one.column for one in page.verdict.slices)),
        "fewest": FEWEST_GROUPS,
        "rows": own(page.rows),
        "flips": page.verdict.compared,
    }
    return rendered(TEMPLATE, _FILTERS, page=page, verdict=page.verdict, charts=charts, **words)


def _errors(verdict: Verdict) -> dict[str, list[Errors | None]]:
    """Return each kind of wrong answers with what every arm has of it, in the arms' order."""
    kinds = [
        kind for kind in get_args(ErrorKind) if any(one.kind == kind for arm in verdict.arms for one in arm.errors)
    ]
    return {
        kind: [next((one for one in arm.errors if one.kind == kind), None) for arm in verdict.arms] for kind in kinds
    }


def _reasons(verdict: Verdict) -> list[str]:
    """Return the verdict's reasons, with one line for the benchmark: the gate's table lists each of its lines."""
    if verdict.gate is None:
        return list(verdict.reasons)
    lines = len(verdict.gate.shown) + (verdict.gate.neutral is not None)
    single = set(gate_sentences(verdict.gate, verdict.confidence)[:lines])
    return [*(reason for reason in verdict.reasons if reason not in single), f"{verdict.gate.in_words}."]


def _mood(verdict: Verdict) -> str:
    if verdict.is_refused_by_gate or verdict.verdict == "none_good_enough":
        return "bad"
    falls_short = verdict.target is not None and verdict.named.standing != "good"
    is_held = verdict.is_held_by_gate or verdict.held_back
    return "unsure" if verdict.verdict == "undecided" or falls_short or is_held else "good"


def _facts(verdict: Verdict) -> list[tuple[str, str]]:
    """Return (value, label) of the key numbers; score and gain are those of the arm that the verdict names."""
    named = verdict.named
    facts = [(f"{named.score:.3f}", f"score of {named.arm}")]
    facts += [] if verdict.target is None else [(f"{verdict.target:g}", "target")]
    facts += [] if named.gain is None else [(signed(named.gain), f"gain of {named.arm}")]
    facts += [(str(verdict.rows), "held-out rows"), (str(verdict.groups), "groups of them")]
    if verdict.gate:
        facts.append((verdict.gate.state, f"gate, {verdict.gate.pooled.items:,} benchmark items"))
    needed = verdict.doubts[0].groups_needed if verdict.doubts else None
    return [*facts, *([(str(needed), "groups needed to decide")] if needed else [])]


_FILTERS: dict[str, Any] = {
    "two": lambda value: f"{value:.2f}",
    "three": lambda value: f"{value:.3f}",
    "short": lambda value: f"{value:g}",
    "signed": signed,
    "readings": both_readings,
    "short_signed": lambda value: f"{value:g}".replace("-", "−"),
    "percent": lambda value: f"{value:.0%}",
    "confidence": lambda value: f"{100 * value:g}%",
    "whole": lambda value: f"{value:.0f}",
}
