"""Real data sets with known defects: each is found, counted and named."""

from __future__ import annotations

import csv
import json
import os
from pathlib import Path

import polars as pl
import pytest

from schemas.errors import DatasetRefused
from schemas.sections.benchmark import BenchmarkConfig
from tasks.benchmark.locating import locate_benchmarks
from tasks.data.locating import locate_data
from tasks.data.overlap.templates import shared_templates
from tasks.data.task import check_leakage, validate_data
from tasks.data.text.normalisation import normalised
from tests.data.conftest import Room, make_room, room
from tests.real import geoquery

__all__ = ["make_room", "room"]

SHARED = Path(os.environ.get("TUNEWORTHY_SHARED_DATA", Path(__file__).resolve().parents[3] / "shared" / "data"))
SQL = {"answer": {"format": "sql", "database": "geography.sqlite"}, "metric": "sql_execution"}

pytestmark = pytest.mark.real


def shared(name: str) -> Path:
    """Return a shared data set's folder, or skip."""
    if not (SHARED / name).is_dir():
        pytest.skip(f"the data set {name} is not in {SHARED}; TUNEWORTHY_SHARED_DATA names another place")
    return SHARED / name


@pytest.fixture
def geography(room: Room) -> Room:
    """The data room with GeoQuery in it."""
    assert geoquery.convert(room.folder, shared("geoquery")) == 877
    return room


def test_geoquery_has_five_queries_that_fail_and_twenty_eight_that_give_nothing(geography: Room) -> None:
    data = geography.validate(SQL, source="geoquery.jsonl", group="group", refuse_above=0.05)
    assert data.reasons == {"answer_gives_no_rows": 28, "near_held_out": 6, "answer_does_not_run": 5}
    assert data.train_rows + data.held_out_rows == 838


def test_geoquery_is_refused_at_the_default_limit_with_its_rows_named(geography: Room) -> None:
    with pytest.raises(
        DatasetRefused,
        match=r"33 of 877 rows\. answer_gives_no_rows 28 \(rows 180, 186, 188, \+25\); answer_does_not_run 5 "
        r"\(rows 389",
    ):
        geography.validate(SQL, source="geoquery.jsonl", group="group")


def test_a_split_by_template_shares_no_template_where_the_question_split_shares_many(geography: Room) -> None:
    geography.validate(SQL, source="geoquery.jsonl", group="group", refuse_above=0.05)
    train, held_out = geography.table("train"), geography.table("held_out")
    assert not set(train["completion"]) & set(held_out["completion"])
    rows = list(geoquery.rows(shared("geoquery")))
    known = {row["completion"] for row in rows if row["question_split"] == "train"}
    assert sum(row["completion"] in known for row in rows if row["question_split"] == "test") == 118


def test_templates_of_geoquery_are_shared_under_the_question_split_and_not_under_ours(geography: Room) -> None:
    geography.validate(SQL, source="geoquery.jsonl", group="group", refuse_above=0.05)
    assert geography.report()["leakage"]["few_shot_pool x held_out"]["answers_of_one_template"] == 0
    rows = pl.DataFrame(list(geoquery.rows(shared("geoquery"))))
    for side, split in (("train", "train"), ("held_out", "test")):
        rows.filter(pl.col("question_split") == split).write_parquet(geography.folder / f"{side}.parquet")
    assert (
        shared_templates(geography.folder, "completion") == 216
    )  # of 279; the 118 that are word for word there are among them


def banking(room: Room, *names: str) -> None:
    """Write the data set's files as rows."""
    with (room.folder / "rows.jsonl").open("w") as out:
        for name in names:
            with (shared("banking77") / name).open(newline="") as lines:
                out.writelines(
                    json.dumps({"prompt": row["text"], "completion": row["category"]}) + "\n"
                    for row in csv.DictReader(lines)
                )


@pytest.mark.parametrize(
    ("files", "taken"),
    [
        (["train.csv"], {"exact_duplicate": 28, "conflicting_answers": 2, "near_held_out": 1}),
        (["test.csv"], {"exact_duplicate": 3, "conflicting_answers": 2}),
    ],
)
def test_banking77_repeats_requests_and_labels_one_of_them_twice(
    room: Room, files: list[str], taken: dict[str, int]
) -> None:
    """The README counts 31 in train, all marks dropped: one is the conflict, two tell "£1" from "$1". Of its 4 in test
    one is a conflict.
    """
    banking(room, *files)
    labels = json.loads((shared("banking77") / "categories.json").read_text())
    assert room.validate({"answer": {"format": "choice", "labels": labels}}).reasons == taken


def test_banking77_has_twenty_five_test_requests_that_stand_in_train(room: Room) -> None:
    asked = []
    for name in ("train.csv", "test.csv"):
        with (shared("banking77") / name).open(newline="") as lines:
            asked.append(normalised(pl.Series([row["text"] for row in csv.DictReader(lines)])))
    assert asked[1].is_in(asked[0].implode()).sum() == 25


def test_alpaca_has_its_repeats_placeholders_addresses_and_refusals_found(room: Room) -> None:
    """The README counts 33 refusals by a simpler rule; "www.example.com" makes 9 addresses of 8; one of the 14 repeats
    is out for speaking as an AI.
    """
    data = room.validate(source=str(shared("alpaca_dirty") / "alpaca_en_demo.json"), refuse_above=0.1)
    assert data.reasons == {
        "speaks_as_ai": 26,
        "exact_duplicate": 13,
        "only_an_address": 9,
        "placeholder_input": 8,
        "unfilled_placeholder": 5,
    }
    assert room.report()["noted"]["refusal"]["rows"] == 8
    assert room.report()["noted"]["email_address"]["rows"] == 2
    rows = json.loads((shared("alpaca_dirty") / "alpaca_en_demo.json").read_text())
    refused = room.table("refused")
    spellings = {rows[line - 1]["input"] for line in refused.filter(pl.col("reason") == "placeholder_input")["line"]}
    assert spellings == {
        "No input.",
        "noinput",
        "Noinput",
        "No input",
        "No Input",
        "< noinput >",
        "`<noinput>`",
        "NoInput",
    }
    repeated = [json.dumps(row) for row in rows]
    both = {line for line in refused["line"] if repeated.index(repeated[line - 1]) != line - 1}
    assert len(both) == 14


def test_nl2bash_has_twenty_five_pairs_twice(room: Room) -> None:
    folder = shared("nl2bash")
    lines = [(folder / name).read_text().splitlines() for name in ("all.nl", "all.cm")]
    room.write([{"prompt": prompt, "completion": completion} for prompt, completion in zip(*lines, strict=True)])
    data = room.validate(checks={"conflicting_answers": "note"})
    assert data.reasons == {"exact_duplicate": 25, "near_held_out": 15, "control_characters": 1}
    train, held_out = room.table("train"), room.table("held_out")
    said = [normalised(side["prompt"]) for side in (train, held_out)]
    assert not said[1].is_in(said[0].implode()).any()


PIQA = """include: piqa/piqa.yaml
task: piqa
dataset_path: json
dataset_name: null
dataset_kwargs:
  data_files:
    validation: {path}
training_split: null
test_split: null
"""


def test_twenty_piqa_items_planted_in_train_are_named_when_piqa_is_in_the_config(room: Room) -> None:
    """`benchmark.tasks: [piqa]` is lm-eval's task on a copy of its data; the questions of GeoQuery are the rows beside
    the planted ones.
    """
    source = shared("piqa") / "valid.jsonl"
    items = [json.loads(line) for line in source.read_text().splitlines()]
    planted = [item for item in items if len(item["sol1"].split()) >= 8][::40][:20]
    own = [{"prompt": row["prompt"], "completion": row["completion"]} for row in geoquery.rows(shared("geoquery"))][
        :200
    ]
    room.write([*own, *({"prompt": item["goal"], "completion": item["sol1"]} for item in planted)])
    room.write(PIQA.format(path=source), "piqa.yaml")
    config = room.config(held_out=0.01, checks={"exact_duplicate": "note", "conflicting_answers": "note"})
    store, benchmark = room.workdir.store, BenchmarkConfig(tasks=("piqa",))
    data = validate_data(config.task, config.data, config.seed, locate_data(config, store))
    found = check_leakage(data, locate_benchmarks(benchmark, room.folder, store), {})
    train = pl.read_parquet(store.open(data.digest) / "train.parquet")["row_id"]
    known = [row for row in range(201, 221) if row in train]
    leaks = pl.read_parquet(store.open(found.digest) / "leaks.parquet")
    assert len(known) >= 18
    assert sorted(set(leaks["row_id"])) == known
    assert found.rows == len(known)
    assert {items.index(planted[row - 201]) + 1 for row in known} <= set(leaks["item"])
    matrix = json.loads((store.open(found.digest) / "leakage.json").read_text())
    assert matrix["train x valid.jsonl"]["exact"] == len(known)
