"""From numbers to a verdict: the simplest arm that is good enough wins, and a tuned one has to be worth it.

Every arm is asked a few questions (`asked`), and every answer is yes, no or unclear at the confidence of the config.
One no and the arm is out; all yes and it may be the verdict; otherwise more groups would tell. docs/decisions/0003 has
the same as a table.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, cast

from schemas.findings.gate import GateReport
from schemas.reports import ArmReport, Standing, Verdict, VerdictName, gain_note
from tasks.decision.verdict.comparison import TRAINED
from tasks.decision.verdict.doubts import doubts_in_order, opinion_on
from tasks.decision.verdict.errors import form_sentence, grammar_sentence
from tasks.decision.verdict.gate import judge_forgetting
from tasks.decision.verdict.recommending import recommendation, regret_of, regret_sentence
from tasks.decision.verdict.wording import arm_sentence, few_groups_sentence, gate_sentences, headline
from tasks.statistics.clusters import FEWEST_GROUPS

if TYPE_CHECKING:
    from schemas.artifacts import BenchmarkArtifact
    from schemas.sections.benchmark import Require
    from schemas.sections.decision import DecisionConfig

Question = Literal["target", "rivals", "gain", "contract", "limits", "gate"]
UNUSABLE = {"contract", "limits"}  # a program cannot use its answers, or nobody can afford them
GAINS: dict[str | None, Standing] = {"worth_it": "good", "unclear": "unclear", "not_worth_it": "short"}
VERDICT_OF: dict[str, VerdictName] = {
    "tuned": "finetune",
    "tuned+grammar": "finetune+grammar",
    "tuned_retrieval": "finetune+retrieval",
    "tuned_retrieval+grammar": "finetune+retrieval+grammar",
}


@dataclass(frozen=True)
class Candidate:
    """An arm, the questions that it fails, and those that cannot be answered yet."""

    report: ArmReport
    failed: frozenset[Question]
    unclear: tuple[Question, ...]

    @property
    def is_fit(self) -> bool:
        """It may be the verdict."""
        return not self.failed and not self.unclear

    @property
    def is_open(self) -> bool:
        """It may be the verdict once more is known."""
        return not self.failed and bool(self.unclear)

    @property
    def is_trained(self) -> bool:
        """It answers with the adapter."""
        return self.report.arm in TRAINED

    @property
    def is_useless(self) -> bool:
        """It is out for another reason than that its gain is not worth it."""
        return bool(self.failed - {"gain"})


@dataclass(frozen=True)
class Found:
    """A verdict before it is put into words.

    Attributes:
        name: the verdict.
        arm: that it is about.
        tuned: the tuned arm that earned its place.
        candidates: all arms.
        open: for `undecided`, the arms of which more has to be known.
    """

    name: VerdictName
    arm: ArmReport
    tuned: ArmReport | None
    candidates: tuple[Candidate, ...]
    open: tuple[Candidate, ...] = ()


def judge(
    arms: list[ArmReport], benchmark: BenchmarkArtifact | None, decision: DecisionConfig, require: Require | None
) -> Verdict:
    """Return the verdict on arms that are ordered from the simplest to the most complex.

    Args:
        arms: measured and compared, at least one of them untrained.
        benchmark: accuracies before and after tuning; None where nothing was trained.
        decision: target, worth, share of valid answers and confidence.
        require: what the benchmark has to show of a champion.
    """
    gate = judge_forgetting(benchmark, require) if benchmark is not None and require is not None else None
    is_shut = gate is not None and gate.is_shut
    found = find(tuple(asked(arm, decision, is_shut) for arm in arms), decision)
    doubts = doubts_in_order(
        [[opinion_on(one.report, question, decision) for question in one.unclear] for one in found.open]
    )
    is_sufficient = decision.target is not None and found.name == found.arm.arm
    stopped = _stopped(gate, found.tuned is not None, is_sufficient)
    rivals = [one.report for one in found.candidates if not one.failed & {*UNUSABLE, "gate"}]
    regret, better = regret_of(found.arm, rivals, decision)
    advice = recommendation(found.name, found.arm, found.tuned, arms, stopped, doubts, decision)
    return Verdict(
        verdict=found.name,
        arm=found.arm.arm,
        headline=headline(found.name, found.arm, stopped, decision),
        recommendation=f"{advice} {regret_sentence(regret, better)}",
        regret=regret,
        reasons=(*_reasons(arms, gate, decision), *dict.fromkeys(doubt.in_words for doubt in doubts)),
        doubts=tuple(doubts),
        target=decision.target,
        worth=decision.worth,
        valid=decision.valid,
        confidence=decision.confidence,
        rows=arms[0].rows,
        groups=arms[0].groups,
        arms=tuple(arms),
        gate=gate,
        is_sufficient=is_sufficient,
        is_refused_by_gate=stopped is not None and stopped.is_shut,
        is_held_by_gate=stopped is not None and stopped.is_inconclusive,
        promotes=found.tuned is not None and not is_shut and not is_sufficient,
        tuned_arm=found.tuned.arm if found.tuned else None,
    )


def _stopped(gate: GateReport | None, has_earned: bool, is_sufficient: bool) -> GateReport | None:
    """Return the gate where it keeps an adapter that earned its place from becoming champion."""
    if gate is None or not has_earned:
        return None
    return gate if gate.is_shut or (gate.is_inconclusive and not is_sufficient) else None


def asked(arm: ArmReport, decision: DecisionConfig, is_shut: bool) -> Candidate:
    """Ask an arm its questions.

    Args:
        arm: measured and compared.
        decision: without a target an untrained arm has to keep up with the others, and a tuned arm to gain enough.
        is_shut: the gate refused the adapter.
    """
    is_trained, answers = arm.arm in TRAINED, dict[Question, Standing]()
    if decision.target is not None:
        answers["target"] = arm.standing
    elif not is_trained:
        # One that falls behind is not out: the others may be out for other reasons.
        answers["rivals"] = "good" if arm.keeps_up == "good" and arm.groups >= FEWEST_GROUPS else "unclear"
    if is_trained:
        answers |= {"gain": GAINS[arm.gain_standing], "gate": "short" if is_shut else "good"}
    answers |= {"contract": "short" if arm.breaks_contract else "good", "limits": "short" if arm.beyond else "good"}
    return Candidate(
        arm,
        frozenset(name for name, answer in answers.items() if answer == "short"),
        tuple(name for name, answer in answers.items() if answer == "unclear"),
    )


def find(candidates: tuple[Candidate, ...], decision: DecisionConfig) -> Found:
    """Return the verdict's name and arms."""
    tuned = [one for one in candidates if one.is_trained]
    untrained = [one for one in candidates if not one.is_trained]
    earned = [one for one in tuned if one.report.gain_standing == "worth_it" and not one.failed & UNUSABLE]
    best_tuned = chosen([one for one in earned if one.is_fit] or earned) if earned else None
    usable = chosen([one for one in untrained if not one.failed & UNUSABLE] or untrained)
    winner = next((one for one in untrained if one.is_fit), None) if decision.target is not None else None
    if winner is None and any(one.is_fit for one in tuned):
        winner = best_tuned
    earned_report = best_tuned.report if best_tuned else None
    if winner is not None:
        return Found(verdict_of(winner.report.arm), winner.report, earned_report, candidates)
    name = _without_winner(candidates, usable, best_tuned is not None, decision)
    arm = best_tuned if best_tuned and "gate" not in best_tuned.failed else usable
    unsettled = _unsettled(candidates, usable, decision) if name == "undecided" else ()
    return Found(name, arm.report, earned_report, candidates, unsettled)


def verdict_of(arm: str) -> VerdictName:
    """Return the verdict that names an arm; an untrained arm's is its own name."""
    return VERDICT_OF.get(arm, cast("VerdictName", arm))


def _without_winner(
    candidates: tuple[Candidate, ...], usable: Candidate, has_earned: bool, decision: DecisionConfig
) -> VerdictName:
    """Return the verdict where no arm meets the target, or where there is none, and no tuned arm may be the verdict."""
    tuned = [one for one in candidates if one.is_trained]
    if all(one.is_useless for one in candidates):
        return "none_good_enough"
    if not has_earned and all(one.failed for one in tuned) and any("gain" in one.failed for one in tuned):
        return "not_worth_tuning"
    if _unsettled(candidates, usable, decision):
        return "undecided"
    return verdict_of(usable.report.arm) if decision.target is None else "none_good_enough"


def _unsettled(candidates: tuple[Candidate, ...], usable: Candidate, decision: DecisionConfig) -> tuple[Candidate, ...]:
    """Return the arms of which more has to be known.

    Without a target tuning comes first; where it is settled, only the untrained arm to use matters.
    """
    if decision.target is not None:
        return tuple(one for one in candidates if one.is_open)
    return tuple(one for one in candidates if one.is_open and one.is_trained) or ((usable,) if usable.is_open else ())


def chosen(arms: Sequence[Candidate]) -> Candidate:
    """Return the simplest arm that keeps up with the others, unless the best of them is simpler still."""
    best = max(arms, key=lambda one: one.report.score)
    return next(one for one in arms if one is best or one.report.keeps_up == "good")


def _reasons(arms: list[ArmReport], gate: GateReport | None, decision: DecisionConfig) -> tuple[str, ...]:
    lines = [few_groups_sentence(arms[0].groups, decision.confidence)] if arms[0].groups < FEWEST_GROUPS else []
    lines += [arm_sentence(arm, decision) for arm in arms]
    lines += filter(None, (gain_note(arms), *map(form_sentence, arms), grammar_sentence(arms)))
    return (*lines, *(gate_sentences(gate, decision.confidence) if gate else ()))
