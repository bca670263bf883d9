"""A share of the train groups, for a learning curve: every larger share contains the smaller ones."""

from __future__ import annotations

import hashlib
import shutil
from pathlib import Path

import polars as pl

from schemas.artifacts import DataArtifact
from schemas.errors import DatasetRefused


def write_share(data: DataArtifact, folder: Path, share: float, seed: int, out: Path) -> DataArtifact:
    """Write the data with that share of its train groups, and return its facts; everything else stays as it is.

    Args:
        data: the whole data's facts.
        folder: the whole data, opened.
        share: of the train groups, 0..1.
        seed: the run's.
        out: where to write.

    Raises:
        DatasetRefused: fewer than two groups would be left.
    """
    train = pl.read_parquet(folder / "train.parquet")
    names = sorted(train["group"].unique(), key=lambda group: hashlib.sha256(f"{seed} {group}".encode()).digest())
    kept = names[: round(share * len(names))]
    if len(kept) < 2:
        raise DatasetRefused(
            f"{share:.0%} of {len(names)} train groups are too few to learn from: a learning curve needs at least "
            f"{2 / share:.0f} groups. Add rows of other groups."
        )
    rows = train.filter(pl.col("group").is_in(kept))
    for path in folder.iterdir():
        if path.is_file() and path.name not in ("manifest.json", "train.parquet"):
            shutil.copyfile(path, out / path.name)
    rows.write_parquet(out / "train.parquet")
    return data.model_copy(update={"digest": "", "train_rows": rows.height})
