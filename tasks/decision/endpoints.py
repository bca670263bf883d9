"""Endpoints beside a verdict: can an arm take the place of the model in use, and what does that save?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import polars as pl

from schemas.artifacts import DataArtifact, EndpointArtifact
from schemas.findings.costs import ArmCost
from schemas.findings.endpoints import EndpointReport, Replacement
from schemas.reports import Standing, Verdict
from schemas.sections.costs import TOKENS
from tasks.decision.verdict.comparison import ArmScores, against_bound, scores_in
from tasks.decision.verdict.wording import at_confidence, count, sample, signed_spread
from tasks.intervals import Interval, differences_of, mean_interval

if TYPE_CHECKING:
    from schemas.sections.costs import CostsConfig
    from schemas.sections.decision import DecisionConfig

Prices = Mapping[str, tuple[float, float]]  # of the tokens that an endpoint reads and writes


def with_endpoints(
    verdict: Verdict,
    arms: Sequence[ArmScores],
    endpoints: Sequence[tuple[EndpointArtifact, Path]],
    failed: Mapping[str, str],
    spent: tuple[Mapping[str, ArmCost], CostsConfig | None, Prices],
    decision: DecisionConfig,
) -> Verdict:
    """Return the verdict with every endpoint, and with how the arm that it names and its best tuned arm compare.

    Args:
        verdict: on these arms; it stays as it is.
        arms: on the held-out rows in the order of their ids.
        endpoints: measured on the same rows, with their opened answers.
        failed: name -> why an endpoint could not be measured.
        spent: what each arm costs, the prices of the config, and those of the endpoints.
        decision: worth and confidence.
    """
    read = [scores_in(facts, pl.read_parquet(path / "answers.parquet").sort("row_id")) for facts, path in endpoints]
    named = dict.fromkeys([verdict.arm, *(verdict.compared or ())[1:]])
    own = [one for one in arms if one.name in named]
    samples = {(one.name, arm.name): differences_of(one.scores, arm.scores, one.groups) for one in read for arm in own}
    compared = against_bound(samples, -decision.worth, decision.confidence)
    reports = []
    for (facts, _), one in zip(endpoints, read, strict=True):
        price = _per_thousand(facts, spent)
        in_place = tuple(
            _replacement(facts, arm.name, compared[one.name, arm.name], _saved(price, arm.name, spent), decision)
            for arm in own
        )
        reports.append(_report(facts, one, price, in_place, decision))
    for name, why in failed.items():
        told = f"{name} failed: {why.removeprefix(f'Endpoint {name}: ')}"
        reports.append(EndpointReport(name=name, problem=why, in_words=told))
    lines = (line for report in reports for line in report.lines)
    return verdict.model_copy(update={"endpoints": tuple(reports), "reasons": (*verdict.reasons, *lines)})


def with_teacher(verdict: Verdict, data: DataArtifact | None) -> Verdict:
    """Return the verdict with a caveat about the rows that a teacher answered."""
    if data is None or not data.teacher:
        return verdict
    told = f"{data.taught_rows:,} of {count(data.train_rows, 'train row')} have the answers of {data.teacher}"
    if data.taught_held_out:
        told += (
            f", and so have {data.taught_held_out:,} of {count(data.held_out_rows, 'held-out row')}: on these a score "
            f"says how often an arm answers as {data.teacher} does, not how often it is right"
        )
    return verdict.model_copy(update={"caveats": (*verdict.caveats, f"{told}.")})


def _per_thousand(
    facts: EndpointArtifact, spent: tuple[Mapping[str, ArmCost], CostsConfig | None, Prices]
) -> float | None:
    _, costs, prices = spent
    if costs is None or facts.arm not in prices or not facts.has_usage:
        return None
    read, written = prices[facts.arm]
    return 1000 * (facts.prompt_tokens * read + facts.output_tokens * written) / TOKENS[costs.per]


def _saved(
    price: float | None, arm: str, spent: tuple[Mapping[str, ArmCost], CostsConfig | None, Prices]
) -> tuple[float, float, str] | None:
    """Return what 1,000 answers of the endpoint and of the arm cost, and in which currency."""
    own, costs = spent[0].get(arm), spent[1]
    if price is None or costs is None or own is None or own.per_thousand is None:
        return None
    return price, own.per_thousand, costs.currency


def _replacement(
    facts: EndpointArtifact,
    arm: str,
    found: tuple[Interval, Standing],
    saved: tuple[float, float, str] | None,
    decision: DecisionConfig,
) -> Replacement:
    interval, stands = found
    outcome = {"good": "as_good", "short": "worse", "unclear": "unclear"}[stands]
    told = {
        "good": f"is as good as {facts.arm} within {decision.worth:g} {at_confidence(decision.confidence)}",
        "short": f"is worse than {facts.arm} by {-interval.mean:.3f}, and by more than {decision.worth:g} "
        f"{at_confidence(decision.confidence)}",
        "unclear": f"is not shown to be as good as {facts.arm} within {decision.worth:g}",
    }[stands]
    if stands == "unclear" and interval.high < 0 and interval.is_conclusive:
        told = (
            f"is worse than {facts.arm} by {-interval.mean:.3f}, but not shown to be so by more than {decision.worth:g}"
        )
    numbers = f"{interval.mean:+.3f} ({signed_spread(interval.low, interval.high)}) on the same rows"
    return Replacement(
        arm=arm,
        difference=interval.mean,
        low=interval.low,
        high=interval.high,
        outcome=outcome,
        saved=saved[0] - saved[1] if saved else None,
        in_words=f"{arm} {told}: {numbers}{_saving(saved)}.",
    )


def _saving(saved: tuple[float, float, str] | None) -> str:
    if saved is None:
        return ""
    theirs, own, currency = saved
    verb = "saves" if own <= theirs else "costs more by"
    return f"; it {verb} {abs(theirs - own):.2f} {currency} for 1,000 answers ({own:.2f} instead of {theirs:.2f})"


def _report(
    facts: EndpointArtifact,
    one: ArmScores,
    price: float | None,
    in_place: tuple[Replacement, ...],
    decision: DecisionConfig,
) -> EndpointReport:
    score = mean_interval(one.scores, confidence=decision.confidence, clusters=one.groups)
    cut_off = round(facts.rows * (1 - facts.stopped_rate))
    faults = [_again(status, times) for status, times in facts.faults.items() if times]
    counted = [f"{count(facts.refusals, 'refusal')}", f"{count(cut_off, 'answer')} cut off", *faults]
    numbers = f"scores {score.mean:.3f} on {sample(facts.rows, score.groups)}"
    return EndpointReport(
        **facts.model_dump(include=set(EndpointReport.model_fields) & set(EndpointArtifact.model_fields) - {"score"}),
        name=facts.arm,
        groups=score.groups,
        score=score.mean,
        low=score.low,
        high=score.high,
        seconds=facts.p50_seconds,
        per_thousand=price,
        in_place=in_place,
        in_words=f"{facts.arm} ({facts.model}) {numbers}; {', '.join(counted)}.",
    )


def _again(status: str, times: int) -> str:
    tries = "1 try" if times == 1 else f"{times:,} tries"
    return f"{tries} answered {status}" if status.isdecimal() else f"{tries} without an answer"
