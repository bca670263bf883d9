"""`tuneworthy advise` on a whole small run."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.flows.conftest import tuneworthy


@pytest.mark.slow
def test_advice_has_a_curve_and_errors_and_the_second_time_all_is_known(small: Path, tmp_path: Path) -> None:
    store = tmp_path / "store"
    first = tuneworthy("advise", small, "--json", store=store)
    assert first.returncode == 0, first.stderr
    advice = json.loads(first.stdout)
    assert [point["share"] for point in advice["curve"]] == [0.25, 0.5, 1.0]
    rows = [point["train_rows"] for point in advice["curve"]]
    assert rows[0] < rows[1] < rows[2]
    assert len(list((store / "records" / "train_adapter").iterdir())) == 3
    again = tuneworthy("advise", small, store=store)
    assert f"{rows[0]} train rows (25%)" in again.stdout
    assert again.stdout.splitlines()[-1] == advice["advice"]
    assert "runs:" not in again.stderr
