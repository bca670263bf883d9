"""No hole in the rules: every combination of standings has one verdict, one arm, and a headline on that arm."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import product
from typing import get_args

import pytest

from schemas.artifacts import BenchmarkArtifact
from schemas.findings.loss import LossStanding
from schemas.reports import ArmReport, Verdict
from schemas.sections.decision import DecisionConfig
from tasks.decision.verdict.rules import judge
from tests.decision.measured_arms import an_arm, behind
from tests.decision.measured_benchmark import a_benchmark, a_task

TARGET, WORTH = 0.8, 0.05
SCORES = {"good": 0.9, "unclear": 0.82, "short": 0.6}
GAINS = {"worth_it": (0.3, 0.2, 0.4), "unclear": (0.06, 0.0, 0.12), "not_worth_it": (0.01, -0.02, 0.04)}
LAGS = {"good": (-0.01, -0.03, 0.01), "unclear": (-0.01, -0.1, 0.08), "short": (-0.2, -0.3, -0.1)}
UNTRAINED, TUNED = ("classifier", "prompt", "few_shot", "retrieval"), ("tuned", "tuned_retrieval")
NAMES = {"finetune": "tuned", "finetune+retrieval": "tuned_retrieval"} | {name: name for name in UNTRAINED}


def untrained(decision: DecisionConfig, simplest: str) -> Iterator[tuple[ArmReport, ...]]:
    """Yield two untrained arms in every standing, each of which may or may not keep up with the other."""
    for scores, lags, broken in product(product(SCORES, repeat=2), product(("good", "unclear"), repeat=2), range(4)):
        plain = an_arm(simplest, SCORES[scores[0]], decision=decision)
        shown = an_arm("retrieval", SCORES[scores[1]] + 0.01, decision=decision)
        yield (
            behind(plain, "retrieval", LAGS[lags[0]]).model_copy(update={"breaks_contract": broken in (1, 3)}),
            behind(shown, simplest, LAGS[lags[1]]).model_copy(update={"breaks_contract": broken in (2, 3)}),
        )


def tuned(decision: DecisionConfig) -> Iterator[tuple[ArmReport, ...]]:
    """Yield no tuned arm, one in every standing, and two of which the second stays as it is."""
    yield ()
    for score, gain, broken in product(SCORES, GAINS, (False, True)):
        arm = an_arm("tuned", SCORES[score], gain=GAINS[gain], decision=decision)
        arm = arm.model_copy(update={"breaks_contract": broken})
        yield (arm,)
        for other in GAINS:
            later = an_arm("tuned_retrieval", SCORES[score] - 0.01, gain=GAINS[other], decision=decision)
            yield (arm, behind(later, "tuned", LAGS["unclear"]))


def gates() -> Iterator[BenchmarkArtifact]:
    for standing in get_args(LossStanding):
        yield a_benchmark(a_task(standing))


def is_refusal(verdict: Verdict) -> bool:
    """Tell whether an arm that earned its place answers with an adapter that the gate refused."""
    return verdict.gate is not None and verdict.gate.is_shut and verdict.tuned_arm is not None


def problems(verdict: Verdict) -> list[str]:
    """Return what is wrong with a verdict; nothing where it holds together."""
    named, found = verdict.named, []
    first, _, second = verdict.headline.partition(". ")
    about = set(re.findall(r"classifier|prompt|few_shot|tuned_retrieval|retrieval|tuned", second))
    checks = {
        "the headline is about another arm": about == {verdict.arm},
        "the score is not its own": f"{named.score:.3f} ({named.low:.3f} to {named.high:.3f})" in second,
        "the gain is not its own": (f"gains {named.gain or 0:+.3f}" in second) == (named.gain is not None),
        "the verdict names another arm": NAMES.get(verdict.verdict, verdict.arm) == verdict.arm,
        "undecided, and nothing is missing": (verdict.verdict == "undecided") == bool(verdict.doubts),
        "what is missing is not said": all(doubt.in_words in verdict.reasons for doubt in verdict.doubts),
        "the recommendation names no arm": verdict.arm in verdict.recommendation,
        "the regret is not a number of score": 0 <= verdict.regret < 1,
        "a refused adapter is used": not (verdict.is_refused_by_gate and (verdict.promotes or verdict.arm in TUNED)),
        "a doubt of the gate is not told": verdict.is_held_by_gate
        == ("would tell" in verdict.recommendation and "What it forgot is not clear" in verdict.recommendation),
        "a champion is told though the gate is not open": not verdict.is_held_by_gate
        or (verdict.promotes and "into service" not in verdict.recommendation),
        "a refusal is not told": is_refusal(verdict) == verdict.headline.startswith("The gate refuses"),
        "tuning that is not worth it is registered": verdict.verdict != "not_worth_tuning" or not verdict.promotes,
        "an untrained arm wins untold": verdict.arm not in TUNED or verdict.tuned_arm == verdict.arm,
        "the first sentence is empty": bool(first),
    }
    found += [what for what, holds in checks.items() if not holds]
    if verdict.verdict in NAMES:
        found += ["an arm that breaks its contract wins"] if named.breaks_contract else []
        shown = named.standing if verdict.target is not None else named.keeps_up
        is_shown = shown == "good" or (verdict.target is None and named.arm in TUNED)
        found += [] if is_shown else ["it is not shown to meet the target, or to keep up where there is none"]
        found += ["its gain is not worth it"] if named.gain_standing not in (None, "worth_it") else []
    return found


@pytest.mark.slow
@pytest.mark.parametrize(("target", "simplest"), [(TARGET, "prompt"), (None, "classifier")])
def test_every_combination_of_standings_has_one_verdict_one_arm_and_one_headline_on_that_arm(
    target: float | None, simplest: str
) -> None:
    decision = DecisionConfig(target=target, worth=WORTH, valid=0.95)
    seen: dict[str, int] = {}
    for plain, trained in product(untrained(decision, simplest), tuned(decision)):
        for benchmark in gates() if trained else (None,):
            verdict = judge([*plain, *trained], benchmark, decision, "kept")
            assert problems(verdict) == [], f"{verdict.verdict}: {verdict.headline} {[*plain, *trained]}"
            seen[verdict.verdict] = seen.get(verdict.verdict, 0) + 1
    expected = {simplest, "retrieval", "finetune", "finetune+retrieval", "not_worth_tuning", "none_good_enough"}
    assert seen.keys() == expected | {"undecided"}
