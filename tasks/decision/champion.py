"""The registry's champion compared with today's arms, on the rows that it did not learn.

The challenger is `better` when the whole interval of its paired difference is above zero, `worse` when it is below,
and `not_worse` when it scores no less and the whole interval is above -`worth`, so that less is lost than a gain has
to be worth. Anything else is `unclear`, and the champion stays. Why:
docs/decisions/0006-a-champion-is-judged-on-todays-rows.md.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import polars as pl

from schemas.champion import ScoredChampionArtifact
from schemas.errors import TuneworthyError
from schemas.reports import ChampionReport, Verdict
from tasks.decision.verdict.comparison import TRAINED, ArmScores, Kept, best_of, only_rows, scores_in, standing
from tasks.decision.verdict.slices import Name, compared_on
from tasks.decision.verdict.wording import challenger_sentence, champion_sentence, lead_sentence, slices_in_words
from tasks.intervals import Interval, mean_interval, paired_interval
from tasks.statistics.families import changes_of
from tasks.statistics.power import groups_to_tell_apart

if TYPE_CHECKING:
    from schemas.sections.decision import DecisionConfig

Outcome = Literal["better", "not_worse", "unclear", "worse", "worse_on_a_slice", "no_challenger"]


def compare_with_champion(
    version: str,
    asks: str,
    scored: tuple[ScoredChampionArtifact, Path],
    arms: list[ArmScores],
    learned: Path,
    verdict: Verdict,
    decision: DecisionConfig,
    slices: dict[Name, Kept] | None = None,
) -> ChampionReport:
    """Return the champion's numbers, its lead over the best untrained arm, and how the challenger compares with it.

    Args:
        version: the champion's version in the registry.
        asks: the arm whose prompts it answers.
        scored: its facts, and its opened answers.
        arms: today's arms, on all held-out rows in the order of their ids.
        learned: learned.parquet, the rows to leave out.
        verdict: of today; names the tuned arm that earned its place.
        decision: target, worth and confidence of the comparison.
        slices: of all held-out rows, on none of which the challenger may lose.

    Raises:
        TuneworthyError: the champion was not measured on the arms' rows.
    """
    facts, folder = scored
    answers = pl.read_parquet(folder / "answers.parquet").sort("row_id")
    if tuple(answers["group"]) != arms[0].groups:
        raise TuneworthyError(
            "The champion and the arms were not measured on the same rows, so they cannot be compared. Run again."
        )
    is_unseen = ~answers["row_id"].is_in(pl.read_parquet(learned)["row_id"].implode()).to_numpy()
    unseen = {one.name: only_rows(one, is_unseen) for one in [*arms, scores_in(facts, answers)]}
    seen_slices = {name: rows[is_unseen] for name, rows in (slices or {}).items() if rows[is_unseen].any()}
    return _report(version, asks, unseen, int((~is_unseen).sum()), verdict, decision, seen_slices)


def write_unseen_answers(scored: Path, learned: Path, out: Path) -> None:
    """Write the champion's answers to the rows that it did not learn, for the report to show beside the challenger's.

    Args:
        scored: its opened answers.
        learned: learned.parquet, the rows to leave out.
        out: where answers.parquet goes.
    """
    answers, left_out = pl.read_parquet(scored / "answers.parquet"), pl.read_parquet(learned)["row_id"]
    answers.filter(~pl.col("row_id").is_in(left_out.implode())).write_parquet(out / "answers.parquet", statistics=False)


def _report(
    version: str,
    asks: str,
    unseen: dict[str, ArmScores],
    left_out: int,
    verdict: Verdict,
    decision: DecisionConfig,
    slices: dict[Name, Kept],
) -> ChampionReport:
    champion = unseen["champion"]
    untrained = best_of(one for name, one in unseen.items() if name not in (*TRAINED, "champion"))
    challenger = _challenger(unseen, verdict)
    how = {"confidence": decision.confidence, "clusters": champion.groups}
    own = mean_interval(champion.scores, **how)  # type: ignore[arg-type]
    lead = paired_interval(untrained.scores, champion.scores, **how)  # type: ignore[arg-type]
    difference = paired_interval(champion.scores, challenger.scores, **how) if challenger else None  # type: ignore[arg-type]
    outcome = outcome_of(difference, decision.worth)
    flips = changes_of(champion.scores, challenger.scores, champion.groups) if challenger else None
    lost = _lost(slices, champion, challenger, decision) if challenger and outcome in ("better", "not_worse") else ""
    outcome = "worse_on_a_slice" if lost else outcome
    rows = champion.scores.size
    needed = _needed(rows, difference, decision) if difference and outcome == "unclear" else None
    against = None if decision.target is None else standing(own, decision.target)
    return ChampionReport(
        version=version,
        arm=asks,
        rows=rows,
        groups=own.groups,
        left_out=left_out,
        **_flat("", own) | {"score": own.mean},
        **champion.artifact.model_dump(include={"valid_rate", "prompt_tokens", "output_tokens"}),
        standing=against,
        untrained=untrained.name,
        lead=lead.mean,
        **_flat("lead_", lead),
        challenger=challenger.name if challenger else None,
        challenger_score=float(challenger.scores.mean()) if challenger else None,
        difference=difference.mean if difference else None,
        **(_flat("difference_", difference) if difference else {}),
        won=flips.helped if flips else None,
        lost=flips.hurt if flips else None,
        outcome=outcome,
        reasons=(
            champion_sentence(version, own, against, rows, left_out, decision),
            lead_sentence(version, untrained.name, lead, decision.confidence),
            *(
                [challenger_sentence(version, challenger.name, difference, (outcome, lost), flips, needed, decision)]
                if challenger and difference and flips
                else []
            ),
        ),
    )


def _lost(slices: dict[Name, Kept], champion: ArmScores, challenger: ArmScores, decision: DecisionConfig) -> str:
    """Return on which slices the challenger loses, in words; "" for none."""
    found = compared_on(slices, champion, challenger, decision.confidence)
    return slices_in_words({name: difference for name, (difference, has_lost) in found.items() if has_lost})


def _needed(rows: int, difference: Interval, decision: DecisionConfig) -> tuple[int, int] | None:
    """Return about how many rows and groups would tell a difference that stays as it is in 8 of 10 cases."""
    groups = groups_to_tell_apart(
        difference.mean, difference.low, difference.high, difference.groups, 0.0, decision.confidence
    )
    return None if groups is None else (math.ceil(groups * rows / difference.groups), groups)


def _flat(before: str, interval: Interval) -> dict[str, float]:
    return {f"{before}low": interval.low, f"{before}high": interval.high}


def _challenger(unseen: dict[str, ArmScores], verdict: Verdict) -> ArmScores | None:
    """Return the tuned arm that earned its place, else the best one, if anything was trained."""
    tuned = [one for name, one in unseen.items() if name in TRAINED]
    return (
        unseen[verdict.tuned_arm] if verdict.tuned_arm else max(tuned, key=lambda one: one.scores.mean(), default=None)
    )


def outcome_of(difference: Interval | None, worth: float) -> Outcome:
    """Return what a paired difference (challenger minus champion) says of the challenger."""
    if difference is None:
        return "no_challenger"
    if not difference.is_conclusive:
        return "unclear"
    if difference.low > 0:
        return "better"
    if difference.high < 0:
        return "worse"
    return "not_worse" if difference.mean >= 0 and difference.low > -worth else "unclear"
