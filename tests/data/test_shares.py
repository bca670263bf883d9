"""Shares of the train groups are nested, and whatever else the rows came with stays."""

from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest

from schemas.artifacts import DataArtifact
from schemas.errors import DatasetRefused
from tasks.data.shares import write_share

FACTS = DataArtifact(digest="d", train_rows=80, held_out_rows=5, refused_rows=2, reasons={"x": 2}, documents=0)


@pytest.fixture
def whole(tmp_path: Path) -> Path:
    folder = tmp_path / "whole"
    folder.mkdir()
    pl.DataFrame({"row_id": range(80), "group": [f"g{row % 20}" for row in range(80)]}).write_parquet(
        folder / "train.parquet"
    )
    (folder / "held_out.parquet").write_bytes(b"held")
    (folder / "manifest.json").write_text("{}")
    return folder


def taken(whole: Path, share: float, seed: int = 1) -> set[str]:
    out = whole.parent / f"{share}-{seed}"
    out.mkdir()
    facts = write_share(FACTS, whole, share, seed, out)
    rows = pl.read_parquet(out / "train.parquet")
    assert facts == FACTS.model_copy(update={"digest": "", "train_rows": rows.height})
    assert sorted(path.name for path in out.iterdir()) == ["held_out.parquet", "train.parquet"]
    assert rows.height == 4 * rows["group"].n_unique()
    return set(rows["group"])


def test_a_larger_share_contains_the_smaller_one_and_groups_stay_whole(whole: Path) -> None:
    quarter, half = taken(whole, 0.25), taken(whole, 0.5)
    assert (len(quarter), len(half)) == (5, 10)
    assert quarter < half
    assert taken(whole, 0.25, seed=2) != quarter


def test_a_share_of_fewer_than_two_groups_is_refused_with_the_number_needed(whole: Path) -> None:
    with pytest.raises(DatasetRefused, match="needs at least 40 groups"):
        write_share(FACTS, whole, 0.05, 1, whole)
