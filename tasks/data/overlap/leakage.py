"""The leakage matrix: where evaluated rows also appear in what the model is trained on or shown.

train x held_out           train rows with the request of a held-out row (exact), or nearly (near), and how many of them
                           were taken out; groups on both sides, which should be none
few_shot_pool x held_out   the same for the train rows that are left, because the few-shot and retrieval arms draw their
                           examples from them, and how many held-out rows have such a twin; and held-out rows whose
                           request or answer matches a train row except for numbers and quoted texts
                           (tasks/data/overlap/templates.py)
corpus x held_out          held-out rows whose request or answer is in the documents, which is the purpose of retrieval
train x benchmark          a separate stage (tasks/data/overlap/benchmark_items.py)
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
from tasks.data.text.turns import full_request

REASONS = {"exact": "in_held_out", "near": "near_held_out"}
# Formats whose answers have templates: a label has no parts, and JSON objects of one schema are all alike.
WORDED = ("text", "sql")


def leakage_of(sieve: Sieve, corpus: pl.DataFrame | None, answer_format: str, out: Path) -> dict[str, dict[str, Any]]:
    """Return pair -> counts of rows, for the pairs above.

    Args:
        sieve: all findings, and the rows that are left (need `grouped` and `is_held_out`).
        corpus: the documents, if there are any.
        answer_format: of the task's contract.
        out: the folder of train.parquet and held_out.parquet.
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
        "few_shot_pool x held_out": {
            **pool,
            "held_out_rows_with_a_twin": twins_left(out),
            "requests_of_one_template": shared_templates(out, "prompt"),
        },
    }
    if answer_format in WORDED:
        matrix["few_shot_pool x held_out"]["answers_of_one_template"] = shared_templates(out, "completion")
    if corpus is not None:
        matrix["corpus x held_out"] = {**_in_corpus(corpus, out), "note": "allowed: it is what retrieval reads"}
    return matrix


def twins_left(data: Path) -> int:
    """Return how many held-out rows of a prepared dataset have the request of a train row, or nearly."""
    return pl.read_parquet(data / "twins.parquet", columns=["held_out"])["held_out"].n_unique()


def _in_corpus(corpus: pl.DataFrame, out: Path) -> dict[str, int]:
    counts = {"requests_word_for_word": 0, "requests_nearly": 0, "answers_word_for_word": 0}
    documents = Documents(corpus["text"])
    for frame in frames_in(out / "held_out.parquet", "history", "prompt", "completion"):
        exact, near = documents.held(normalised(full_request(frame)))
        answers, _ = documents.held(normalised(frame["completion"]))
        for name, found in zip(counts, (exact, near, answers), strict=True):
            counts[name] += int(found.sum())
    return counts
