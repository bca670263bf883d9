"""A tiny model learns to prefer: wanted answers gain on rejected ones."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from schemas.errors import DatasetRefused
from tests.training.examples import INSTRUCTION, STATES, fit


def pairs(folder: Path, **columns: Any) -> Path:
    """Write a train.parquet of requests with a wanted and a rejected answer."""
    rows = [
        {
            "row_id": number,
            "history": list[str](),
            "prompt": f"which states border {state} and {other}?",
            "completion": f"SELECT {state};",
            "group": f"g{number}",
            "rejected": f"I do not know {other}.",
        }
        | columns
        for number, (state, other) in enumerate(zip(STATES, STATES[1:] + STATES[:1], strict=True), start=1)
    ]
    pl.DataFrame(rows).write_parquet(folder / "train.parquet")
    return folder / "train.parquet"


def margin(base: Path, rows: Path, adapter: Path | None = None) -> float:
    """Return how much likelier wanted answers are than rejected ones, in the mean of their log-probabilities."""
    import torch
    from torch.nn.functional import log_softmax
    from transformers import AutoTokenizer

    from tasks.inference.loading import AdapterFolder, load_model
    from tasks.training.rows import read_rows

    loaded = load_model(base, adapter=AdapterFolder(adapter, "lora") if adapter else None)
    total = {"wanted": 0.0, "rejected": 0.0}
    for row in read_rows(rows, AutoTokenizer.from_pretrained(base), INSTRUCTION):
        with torch.no_grad():
            logits = loaded.model(input_ids=torch.tensor([row.prompt_ids + row.answer_ids])).logits
        logps = log_softmax(logits[0, len(row.prompt_ids) - 1 : -1].float(), -1)
        total[row.kind] += float(logps.gather(1, torch.tensor(row.answer_ids)[:, None]).sum())
    return (total["wanted"] - total["rejected"]) / len(STATES)


@pytest.mark.slow
@pytest.mark.parametrize("objective", ["dpo", "orpo", "kto"])
def test_a_model_learns_to_prefer_the_wanted_answer(tiny_model: Path, tmp_path: Path, objective: str) -> None:
    rows = pairs(tmp_path)
    before = margin(tiny_model, rows)
    fit(tiny_model, tmp_path / "fit", rows=rows, objective=objective, epochs=6, validation=0.25)
    log = [json.loads(line) for line in (tmp_path / "fit" / "out" / "log.jsonl").read_text().splitlines()]
    losses = [entry["validation_loss"] for entry in log if "validation_loss" in entry]
    assert min(losses) < losses[0] or len(losses) == 1
    assert margin(tiny_model, rows, tmp_path / "fit" / "out" / "best") > before + 1


@pytest.mark.slow
def test_unwanted_answers_become_less_likely_with_kto(tiny_model: Path, tmp_path: Path) -> None:
    rows = pairs(tmp_path)
    before = margin(tiny_model, rows)
    frame = pl.read_parquet(rows)
    unwanted = frame.with_columns(completion="rejected", row_id=pl.col("row_id") + 100).drop("rejected")
    apart = tmp_path / "apart"
    apart.mkdir()
    frame.drop("rejected").write_parquet(apart / "train.parquet")
    unwanted.write_parquet(apart / "unwanted.parquet")
    fit(tiny_model, tmp_path / "fit", rows=apart / "train.parquet", objective="kto", epochs=6, validation=0)
    assert margin(tiny_model, rows, tmp_path / "fit" / "out" / "best") > before + 1


def test_a_rejected_answer_that_is_too_long_is_refused_by_its_row(tiny_model: Path, tmp_path: Path) -> None:
    rows = pairs(tmp_path, rejected="no " * 200)
    with pytest.raises(DatasetRefused, match="8 of 16 train rows are too long"):
        fit(tiny_model, tmp_path / "fit", rows=rows, objective="dpo", max_length=128)
