"""A gain that is larger than the difference of the two scores in the table says why."""

from __future__ import annotations

from schemas.reports import gain_note
from tests.before_registry import an_arm


def test_answers_that_were_counted_as_wrong_are_told_where_the_gain_is_taken_over_them() -> None:
    tuned = an_arm("tuned", 0.58, 0.36).model_copy(update={"gain_over": "retrieval"})
    usable = an_arm("retrieval", 0.35)
    broken = usable.model_copy(update={"breaks_contract": True, "valid_rate": 0.61})
    assert gain_note((usable, tuned)) == ""
    assert gain_note((an_arm("prompt", 0.1), broken, tuned)).startswith(
        "Gains are over retrieval with its answers that break the contract (39%) counted as wrong"
    )
    assert gain_note((broken, an_arm("tuned", 0.58))) == ""
