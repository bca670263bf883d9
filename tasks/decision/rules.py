"""From numbers to a verdict: the simplest arm that is good enough wins, and a tuned one has to be worth it.

Every arm is asked a few questions (`asked`), and every answer is yes, no or unclear at the confidence of the config.
One no and the arm is out; all yes and it may be the verdict; otherwise more groups would tell. docs/decisions/0003 has
the same as a table.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from schemas.reports import ArmReport, GateReport, GateTask, Standing, Verdict, VerdictName
from tasks.decision.comparison import TRAINED
from tasks.decision.doubts import doubts_in_order, opinion_on
from tasks.decision.gate import judge_forgetting
from tasks.decision.recommending import recommendation, regret_of, regret_sentence
from tasks.decision.wording import arm_sentence, few_groups_sentence, gate_sentence, headline
from tasks.statistics.clusters import FEWEST_GROUPS

if TYPE_CHECKING:
    from schemas.artifacts import BenchmarkArtifact
    from schemas.config import DecisionConfig

Question = Literal["target", "groups", "gain", "contract", "gate"]
GAINS: dict[str | None, Standing] = {"worth_it": "good", "unclear": "unclear", "not_worth_it": "short"}
VERDICT_OF: dict[str, VerdictName] = {
    "prompt": "prompt",
    "few_shot": "few_shot",
    "retrieval": "retrieval",
    "tuned": "finetune",
    "tuned_retrieval": "finetune+retrieval",
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
    """A verdict before it is put into words: its name, the arm that it is about, and the arm that earned its place."""

    name: VerdictName
    arm: ArmReport
    tuned: ArmReport | None
    candidates: tuple[Candidate, ...]


def judge(
    arms: list[ArmReport],
    benchmark: BenchmarkArtifact | None,
    decision: DecisionConfig,
    margin: float | None,
    caveats: tuple[str, ...] = (),
) -> Verdict:
    """Return the verdict on arms that are ordered from the simplest to the most complex.

    Args:
        arms: measured and compared, at least one of them untrained.
        benchmark: accuracies before and after tuning; None where nothing was trained.
        decision: target, worth, share of valid answers and confidence.
        margin: accuracy that may be lost on a benchmark task.
        caveats: what may make scores look better than they are; passed on.
    """
    gate = judge_forgetting(benchmark, margin) if benchmark is not None and margin is not None else None
    is_shut = gate is not None and not gate.is_passed
    found = find(tuple(asked(arm, decision, is_shut) for arm in arms), decision)
    opinions = [
        [opinion_on(one.report, question, decision) for question in one.unclear]
        for one in found.candidates
        if one.is_open and found.name == "undecided"
    ]
    doubts = doubts_in_order(opinions)
    is_refused = found.tuned is not None and is_shut
    rivals = [one.report for one in found.candidates if not one.failed & {"contract", "gate"}]
    regret, better = regret_of(found.arm, rivals, decision)
    advice = recommendation(found.name, found.arm, found.tuned, arms, is_refused, doubts, decision)
    is_sufficient = decision.target is not None and found.name in ("prompt", "few_shot", "retrieval")
    return Verdict(
        verdict=found.name,
        arm=found.arm.arm,
        headline=headline(found.name, found.arm, is_refused, decision),
        recommendation=f"{advice} {regret_sentence(regret, better)}",
        regret=regret,
        reasons=(*_reasons(arms, gate, decision), *dict.fromkeys(doubt.in_words for doubt in doubts)),
        caveats=caveats,
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
        is_refused_by_gate=is_refused,
        promotes=found.tuned is not None and not is_shut and not is_sufficient,
        tuned_arm=found.tuned.arm if found.tuned else None,
    )


def asked(arm: ArmReport, decision: DecisionConfig, is_shut: bool) -> Candidate:
    """Ask an arm its questions.

    Args:
        arm: measured and compared.
        decision: without a target an untrained arm only needs groups enough, and a tuned arm only its gain.
        is_shut: the gate refused the adapter.
    """
    is_trained, answers = arm.arm in TRAINED, dict[Question, Standing]()
    if decision.target is not None:
        answers["target"] = arm.standing
    elif not is_trained:
        answers["groups"] = "good" if arm.groups >= FEWEST_GROUPS else "unclear"
    if is_trained:
        answers |= {"gain": GAINS[arm.gain_standing], "gate": "short" if is_shut else "good"}
    answers["contract"] = "short" if arm.breaks_contract else "good"
    return Candidate(
        arm,
        frozenset(name for name, answer in answers.items() if answer == "short"),
        tuple(name for name, answer in answers.items() if answer == "unclear"),
    )


def find(candidates: tuple[Candidate, ...], decision: DecisionConfig) -> Found:
    """Return the verdict's name and arms."""
    tuned = [one for one in candidates if one.is_trained]
    untrained = [one for one in candidates if not one.is_trained]
    earned = [one for one in tuned if one.report.gain_standing == "worth_it" and "contract" not in one.failed]
    best_tuned = chosen([one for one in earned if one.is_fit] or earned) if earned else None
    usable = chosen([one for one in untrained if "contract" not in one.failed] or untrained)
    winner = next((one.report for one in untrained if one.is_fit), None) if decision.target is not None else None
    if winner is None and any(one.is_fit for one in tuned):
        winner = best_tuned
    if winner is not None:
        return Found(VERDICT_OF[winner.arm], winner, best_tuned, candidates)
    is_shut = any("gate" in one.failed for one in tuned)
    uses_tuned = best_tuned is not None and not is_shut
    name = _without_winner(candidates, usable, best_tuned is not None, decision)
    return Found(name, best_tuned if best_tuned and uses_tuned else usable, best_tuned, candidates)


def _without_winner(
    candidates: tuple[Candidate, ...], usable: ArmReport, has_earned: bool, decision: DecisionConfig
) -> VerdictName:
    """Return the verdict where no arm meets the target, or where there is none, and no tuned arm may be the verdict."""
    tuned = [one for one in candidates if one.is_trained]
    if all(one.is_useless for one in candidates):
        return "none_good_enough"
    if not has_earned and all(one.failed for one in tuned) and any("gain" in one.failed for one in tuned):
        return "not_worth_tuning"
    if any(one.is_open for one in candidates):
        return "undecided"
    return VERDICT_OF[usable.arm] if decision.target is None else "none_good_enough"


def chosen(arms: Sequence[Candidate]) -> ArmReport:
    """Return the simplest arm that is not worse than the best of them by `worth`, else the best of them."""
    best = max((one.report for one in arms), key=lambda arm: arm.score)
    return next(one.report for one in arms if one.report is best or one.report.keeps_up == "good")


def _reasons(arms: list[ArmReport], gate: GateReport | None, decision: DecisionConfig) -> tuple[str, ...]:
    lines = [few_groups_sentence(arms[0].groups, decision.confidence)] if arms[0].groups < FEWEST_GROUPS else []
    lines += [arm_sentence(arm, decision) for arm in arms]
    tasks: tuple[GateTask, ...] = gate.tasks if gate else ()
    return (*lines, *(gate_sentence(task, gate.margin, decision.confidence) for task in tasks if gate))
