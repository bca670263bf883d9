"""The leakage matrix: where what is measured can be seen elsewhere.

train x held_out           train rows that ask what a held-out row asks (exact), or nearly so (near), and how many of
                           these were taken out; groups on
                           both sides, of which there are none
few_shot_pool x held_out   the same of the train rows that stay, as the few-shot arm and the retrieval arms, with a
                           corpus or without, draw their examples
                           from them all; and held-out rows whose request or answer is a train row's but for numbers and
                           quoted texts (tasks/data/overlap/templates.py)
corpus x held_out          held-out rows whose request or answer stands in the documents. That is what retrieval is for,
                           and no fault
train x benchmark          is a stage of its own (tasks/data/overlap/benchmark_items.py)
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import polars as pl

from tasks.data.checking.sieve import Sieve
from tasks.data.overlap.containment import Documents
from tasks.data.overlap.templates import shared_templates
from tasks.data.reading.spool import frames_in
from tasks.data.text.normalisation import normalised
from tasks.data.text.turns import asked

REASONS = {"exact": "in_held_out", "near": "near_held_out"}
WORDED = (
    "text",
    "sql",
)  # formats whose answers have templates: a label has no parts, and JSON objects of one schema are all alike


def leakage_of(sieve: Sieve, corpus: pl.DataFrame | None, answer_format: str, out: Path) -> dict[str, dict[str, Any]]:
    """Return pair -> counts of rows, for the pairs above.

    Args:
        sieve: every finding, and the rows that stay (need `grouped` and `is_held_out`).
        corpus: the documents, if there are any.
        answer_format: of the task's contract.
        out: where train.parquet and held_out.parquet lie.
    """
    gone, noted = (dict(table["reason"].value_counts().iter_rows()) for table in (sieve.refused, sieve.notes))
    sides = {held: sieve.rows.filter(pl.col("is_held_out") == held)["grouped"].unique() for held in (True, False)}
    pool = {kind: noted.get(reason, 0) for kind, reason in REASONS.items()}
    taken_out = {kind: gone.get(reason, 0) for kind, reason in REASONS.items()}
    matrix: dict[str, dict[str, Any]] = {
        "train x held_out": {
            **{kind: pool[kind] + taken_out[kind] for kind in REASONS},
            "taken_out": sum(taken_out.values()),
            "shared_groups": int(sides[False].is_in(sides[True].implode()).sum()),
        },
        "few_shot_pool x held_out": {**pool, "requests_of_one_template": shared_templates(out, "prompt")},
    }
    if answer_format in WORDED:
        matrix["few_shot_pool x held_out"]["answers_of_one_template"] = shared_templates(out, "completion")
    if corpus is not None:
        matrix["corpus x held_out"] = {**_in_corpus(corpus, out), "note": "allowed: retrieval reads it"}
    return matrix


def _in_corpus(corpus: pl.DataFrame, out: Path) -> dict[str, int]:
    documents, counts = (
        Documents(corpus["text"]),
        {"requests_word_for_word": 0, "requests_nearly": 0, "answers_word_for_word": 0},
    )
    for frame in frames_in(out / "held_out.parquet", "history", "prompt", "completion"):
        exact, near = documents.held(normalised(asked(frame)))
        answers, _ = documents.held(normalised(frame["completion"]))
        for name, found in zip(counts, (exact, near, answers), strict=True):
            counts[name] += int(found.sum())
    return counts
