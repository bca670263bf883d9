"""The leakage matrix: every pair is counted, what is allowed is said to be, and what only sounds alike is not
counted.
"""

from __future__ import annotations

import json
import random
from pathlib import Path

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tasks.data.overlap.containment import FEWEST_RUNS, HELD, Documents
from tasks.data.overlap.matrix import matrix_lines
from tasks.data.overlap.templates import shared_templates, without_values
from tests.data.conftest import Room
from tests.data.overlap.test_near_duplicates import near_twins, texts

PLACES = ["Rome", "Oslo", "Lima", "Cairo", "Accra", "Quito", "Sofia", "Minsk", "Seoul", "Hanoi"]


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ('cities in "ohio" with 3 rivers', 'cities in "new york" with 12 rivers'),
        ("WHERE a = 'x' AND b > 1.5;", "WHERE a = 'y z' AND b > 2;"),
        ("open at 9:30 on 2024-01-02?", "open at 10 on 2025-11-12?"),
        ("run `ls -l` as root", "run `pwd` as root"),
    ],
)
def test_numbers_and_quoted_texts_are_values(one: str, other: str) -> None:
    assert len(set(without_values(pl.Series([one, other])))) == 1


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("it's Ann's and Bob's", "it's Joe's and Bob's"),
        ("word w12 here", "word w13 here"),
        ("3rd try now", "4th try now"),
        ("a b c", "a b d"),
    ],
)
def test_words_are_no_values(one: str, other: str) -> None:
    assert len(set(without_values(pl.Series([one, other])))) == 2


WORDS = st.lists(st.sampled_from(["red", "blue", "7", "8", '"q"']), max_size=5).map(" ".join)


@pytest.mark.slow
@settings(deadline=None)
@given(st.lists(WORDS, max_size=8), st.lists(WORDS, max_size=8))
def test_shared_templates_are_those_of_the_plainest_rule(
    tmp_path_factory: pytest.TempPathFactory, train: list[str], held_out: list[str]
) -> None:
    folder = tmp_path_factory.getbasetemp()
    for side, rows in (("train", train), ("held_out", held_out)):
        pl.DataFrame({"prompt": rows}, schema={"prompt": pl.String}).write_parquet(folder / f"{side}.parquet")

    def template(text: str) -> tuple[str, ...]:
        return tuple("#" if word in ("7", "8", '"q"') else word for word in text.split())

    known = {template(text) for text in train}
    assert shared_templates(folder, "prompt") == sum(
        template(text) in known for text in held_out if len(text.split()) >= 3
    )


def test_templates_are_counted_over_the_split_and_of_answers_only_where_they_have_any(room: Room) -> None:
    draw = random.Random(2)
    pairs = [(f"{place} {word}", number) for place in PLACES for word in ("trains", "boats") for number in range(5)]
    rows = [
        {"prompt": f"how many {name} left at {number}?", "completion": f"In all {draw.randrange(9)} {name}."}
        for name, number in pairs
    ]
    room.write(rows)
    data = room.validate(refuse_above=0.5)
    held, train = room.table("held_out"), room.table("train")
    known = {prompt.rsplit(" ", 1)[0] for prompt in train["prompt"]}
    expected = sum(prompt.rsplit(" ", 1)[0] in known for prompt in held["prompt"])
    matrix = room.report()["leakage"]["few_shot_pool x held_out"]
    assert matrix["requests_of_one_template"] == expected > data.held_out_rows / 2
    assert matrix["answers_of_one_template"] == expected
    room.write([{**row, "completion": "yes"} for row in rows])
    room.validate({"answer": {"format": "choice", "labels": ["yes", "no"]}})
    assert "answers_of_one_template" not in room.report()["leakage"]["few_shot_pool x held_out"]


def test_what_is_taken_out_is_not_in_the_few_shot_pool(room: Room) -> None:
    room.write(near_twins(60))
    room.validate(group="group", held_out=0.5, tie_near_duplicates=False, checks={"near_held_out": "note"})
    before = room.report()["leakage"]
    room.validate(group="group", held_out=0.5, tie_near_duplicates=False)
    after = room.report()["leakage"]
    assert (
        before["few_shot_pool x held_out"]["near"]
        == before["few_shot_pool x held_out"]["held_out_rows_with_a_twin"]
        == before["train x held_out"]["near"]
        == after["train x held_out"]["near"]
        > 0
    )
    assert after["few_shot_pool x held_out"]["near"] == 0
    assert after["few_shot_pool x held_out"]["held_out_rows_with_a_twin"] == 0
    assert after["train x held_out"]["taken_out"] == after["train x held_out"]["near"]


def test_what_stands_in_the_corpus_is_counted_and_allowed(room: Room) -> None:
    said = texts(60, words=12)
    room.write([{"prompt": text, "completion": f"Shelf {n}"} for n, text in enumerate(said)])
    near = [" ".join(["other", *text.split()[1:]]) for text in said]
    room.write("# Shelves\n\nOn " + ", ".join(f"shelf {n}" for n in range(60)), "a.md")
    room.write(f"Asked was: {'; '.join(said[:30])}.\nAnd also: {'; '.join(near[30:])}.", "b.md")
    data = room.validate(corpus="*.md")
    first = sum(row <= 30 for row in room.table("held_out")["row_id"])
    found = room.report()["leakage"]["corpus x held_out"]
    assert 0 < first < data.held_out_rows
    assert (found["requests_word_for_word"], found["requests_nearly"]) == (first, data.held_out_rows - first)
    assert found["answers_word_for_word"] == data.held_out_rows
    assert found["note"].startswith("allowed")


@settings(deadline=None)
@given(
    st.lists(st.lists(st.sampled_from("abcde"), max_size=9).map(" ".join), max_size=4),
    st.lists(st.lists(st.sampled_from("abcde"), max_size=8), max_size=6),
)
def test_documents_hold_what_the_plainest_search_finds(corpus: list[str], asked: list[list[str]]) -> None:
    said = [" ".join(words) for words in asked]
    runs = {tuple(text.split()[n : n + 3]) for text in corpus for n in range(len(text.split()) - 2)}
    exact, near = Documents(pl.Series(corpus, dtype=pl.String)).held(pl.Series(said, dtype=pl.String))
    for place, (text, words) in enumerate(zip(said, asked, strict=True)):
        assert exact[place] == any(f" {text} " in f" {document} " for document in corpus)
        own = [tuple(words[n : n + 3]) for n in range(len(words) - 2)]
        assert near[place] == (
            not exact[place] and len(own) >= FEWEST_RUNS and sum(run in runs for run in own) >= HELD * len(own)
        )


def test_the_matrix_is_told_in_words_and_benchmarks_only_where_something_was_found(tmp_path: Path) -> None:
    pairs = {
        "few_shot_pool x held_out": {"exact": 0, "near": 3},
        "corpus x held_out": {"requests_nearly": 1, "note": "allowed: so"},
    }
    files = {"train x a_b.jsonl": {"exact": 1, "items": 2}, "train x c.jsonl": {"exact": 0, "items": 0}}
    (tmp_path / "report.json").write_text(json.dumps({"leakage": pairs}))
    (tmp_path / "leakage.json").write_text(json.dumps(files))
    told = [
        "few-shot pool x held-out: exact 0, near 3",
        "corpus x held-out: requests nearly 1, allowed: so",
        "train x a_b.jsonl: exact 1, items 2",
    ]
    assert matrix_lines(tmp_path, tmp_path) == told


def test_no_text_of_a_row_is_in_the_matrix(room: Room) -> None:
    room.write([{"prompt": f"question number {n}?", "completion": f"secretive {n}"} for n in range(60)])
    room.write("secretive 1", "a.md")
    room.validate(corpus="*.md")
    assert "secretive" not in (room.workdir.out / "report.json").read_text()
