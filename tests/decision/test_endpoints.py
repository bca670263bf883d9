"""An arm may take the place of an endpoint when it is shown to be not worse by `worth`; what that saves is said."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl
import pytest

from schemas.artifacts import EndpointArtifact
from schemas.findings.costs import ArmCost
from schemas.findings.endpoints import EndpointReport
from schemas.sections.costs import CostsConfig
from tasks.decision.endpoints import with_endpoints
from tasks.decision.verdict.rules import judge
from tests.decision.measured_arms import DECISION, FACTS, an_arm, scored

COSTS = CostsConfig(currency="EUR", machine_hour=2)
ROWS = 200


def found(
    tmp_path: Path, own: float, theirs: float, prices: tuple[float, float] | None = None, worth: float = 0.05
) -> EndpointReport:
    """Return what is said of an endpoint that is right on another share of the rows than the arm tuned."""
    right = np.arange(ROWS) / ROWS
    answers = {"row_id": range(ROWS), "group": [f"g{place}" for place in range(ROWS)], "score": (right < theirs) * 1.0}
    columns = {"is_valid": [True] * ROWS, "lenient_score": (right < theirs) * 1.0}
    pl.DataFrame(answers | columns).write_parquet(tmp_path / "answers.parquet")
    facts = FACTS | {"model": "big", "refusals": 2, "stopped_rate": 0.99, "faults": {"429": 3, "no answer": 1}}
    facts |= {"p50_seconds": 0.5, "p95_seconds": 1.0, "prompt_tokens": 1000, "output_tokens": 100}
    endpoint = EndpointArtifact(arm="incumbent", rows=ROWS, score=theirs, **facts)
    verdict = judge([an_arm("prompt", 0.3), an_arm("tuned", 0.9, gain=(0.6, 0.5, 0.7))], None, DECISION, None)
    arms = [scored("prompt", [0.0] * ROWS), scored("tuned", list((right < own) * 1.0))]
    spent = {"tuned": ArmCost(arm="tuned", rows=20, p50_seconds=1, p95_seconds=1, per_thousand=0.5)}
    bills = (spent, COSTS, {"incumbent": prices} if prices else {})
    return with_endpoints(
        verdict, arms, [(endpoint, tmp_path)], {}, bills, DECISION.model_copy(update={"worth": worth})
    ).endpoints[0]


@pytest.mark.parametrize(
    ("own", "theirs", "worth", "outcome", "says"),
    [
        (0.9, 0.91, 0.05, "as_good", "is as good as incumbent within 0.05 at 95% confidence: -0.010"),
        (0.5, 0.9, 0.05, "worse", "is worse than incumbent by 0.400, and by more than 0.05 at 95% confidence"),
        (
            0.85,
            0.9,
            0.05,
            "unclear",
            "is worse than incumbent by 0.050, but not shown to be so by more than 0.05: -0.05",
        ),
        (0.895, 0.9, 0.001, "unclear", "is not shown to be as good as incumbent within 0.001: -0.005"),
    ],
)
def test_an_arm_is_as_good_only_where_its_paired_interval_lies_above_minus_worth(
    own: float, theirs: float, worth: float, outcome: str, says: str, tmp_path: Path
) -> None:
    (one,) = found(tmp_path, own, theirs, worth=worth).in_place
    assert one.outcome == outcome and one.in_words.startswith(f"tuned {says}")
    assert one.low <= one.difference <= one.high and one.saved is None


def test_what_an_arm_saves_follows_from_the_prices_of_both(tmp_path: Path) -> None:
    endpoint = found(tmp_path, 0.9, 0.9, prices=(2.0, 10.0))
    assert endpoint.per_thousand == pytest.approx(2.0 + 1.0)
    assert endpoint.in_place[0].saved == pytest.approx(2.5)
    assert "it saves 2.50 EUR for 1,000 answers (0.50 instead of 3.00)" in endpoint.in_place[0].in_words
    assert "it costs more by 0.40 EUR" in found(tmp_path, 0.9, 0.9, prices=(0.1, 0)).in_place[0].in_words


def test_refusals_answers_cut_off_and_tries_made_again_are_counted(tmp_path: Path) -> None:
    counted = (
        "incumbent (big) scores 0.900 on 200 rows in 200 groups; 2 refusals, 2 answers cut off, 3 tries answered 429, "
        "1 try without an answer."
    )
    assert found(tmp_path, 0.9, 0.9).in_words == counted


def test_an_endpoint_that_failed_has_its_error_and_no_score() -> None:
    verdict = judge([an_arm("prompt", 0.9)], None, DECISION, None)
    told = with_endpoints(verdict, [scored("prompt", [1.0] * 9)], [], {"big": "it is down"}, ({}, None, {}), DECISION)
    (one,) = told.endpoints
    assert (one.name, one.problem, one.rows, one.in_place) == ("big", "it is down", 0, ())
    assert told.verdict == verdict.verdict and told.reasons[-1] == "big failed: it is down"
