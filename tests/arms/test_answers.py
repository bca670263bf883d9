"""What every arm leaves of its answers, whatever gave them."""

from __future__ import annotations

import json
from pathlib import Path

import polars
import pytest

from schemas.artifacts import ArmArtifact
from schemas.errors import ConfigRefused
from schemas.sections.task import TaskConfig
from tasks.arms.answers import KNOWN, Answers, held_out_rows, sealed_answers
from tasks.decision.page.details import DetailTable, detail_tables

GOLDS = ['{"name": "a", "tags": ["x", "y"]}', '{"name": "b", "tags": []}']


def sealed(folder: Path, texts: list[str], golds: list[str] = GOLDS, **task: object) -> ArmArtifact:
    (folder / "answer.schema.json").write_text('{"type": "object"}', encoding="utf-8")
    rows = polars.DataFrame({"row_id": [4, 9], "group": ["g", "h"], "completion": golds, "also": [None, None]})
    known = polars.DataFrame([{"prompt_tokens": tokens, "output_tokens": 1} for tokens in (3, 5)], schema=KNOWN)
    known = known.with_columns(is_stopped=True)
    config = TaskConfig.model_validate({"instruction": "x"} | task)
    return sealed_answers(Answers("prompt", rows, texts, known, 0.1), config, folder, folder)


def test_objects_are_counted_field_by_field_in_the_reading_that_decides(tmp_path: Path) -> None:
    texts = ['It is {"name": "a", "tags": ["y", "x"], "more": 1}', "no idea"]
    form = {"format": "json", "json_schema": "s.json"}
    task = {"answer": form, "metric": "json_fields", "also": ("exact",), "scoring": {"lists": "set"}}
    strict = sealed(tmp_path, texts, **task)
    assert (strict.score, strict.valid_rate, strict.also, strict.prompt_tokens) == (0, 0, {"exact": 0}, 4)
    assert json.loads((tmp_path / "details.json").read_text()) == {"fields": [["name", 0, 2], ["tags", 0, 2]]}
    lenient = sealed(tmp_path, texts, reading="lenient", **task)
    assert (lenient.score, lenient.strict_score, lenient.valid_rate) == (pytest.approx(1 / 3), 0, 0.5)
    rows = (("name", "50%"), ("tags", "50%"), ("more", "0%"))
    assert detail_tables({"prompt": tmp_path}) == (
        DetailTable("Right answers field by field", ("field", "prompt"), rows),
    )


def test_labels_are_counted_by_what_they_were_taken_for(tmp_path: Path) -> None:
    labels = {"format": "choice", "labels": ["a", "b"]}
    made = sealed(tmp_path, ["b", "B!"], ["a", "b"], answer=labels, metric="choice")
    assert made.also == {"macro_f1": 0} and made.lenient_score == 0.5
    (table,) = detail_tables({"prompt": tmp_path, "tuned": tmp_path / "nothing"})
    assert table.rows == (("a", "b", "1"), ("b", "(no label)", "1"))


def test_a_scorer_of_the_users_own_that_fails_names_the_row(tmp_path: Path) -> None:
    source = "def score(output, gold):\n    return 1 / (len(output) - 3)"
    with pytest.raises(ConfigRefused, match="raises ZeroDivisionError in line 2, on row 9"):
        sealed(tmp_path, ["four", "abc"], metric="mine.py:score", scorer=source)


def test_the_best_of_several_right_answers_counts(tmp_path: Path) -> None:
    rows = polars.DataFrame(
        {"row_id": [1, 2], "group": ["a", "b"], "completion": ["on 4", "on 5"], "history": [[], []]}
    )
    rows.write_parquet(tmp_path / "held_out.parquet")
    polars.DataFrame({"row_id": [2], "also": [["stand 5", "at 5"]]}).write_parquet(tmp_path / "also_right.parquet")
    known = polars.DataFrame([{"prompt_tokens": 3, "output_tokens": 1}] * 2, schema=KNOWN).with_columns(is_stopped=True)
    answers = Answers("prompt", held_out_rows(tmp_path, None), ["stand 4", "stand 5"], known, 0.1)
    sealed_answers(answers, TaskConfig(instruction="x"), tmp_path, tmp_path)
    assert polars.read_parquet(tmp_path / "answers.parquet")["score"].to_list() == [0.0, 1.0]
