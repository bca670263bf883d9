"""A teacher answers rows with a request only: what it says is checked, counted as its own, and no held-out truth."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from starlette.responses import JSONResponse, Response

from flows.command_line.main import main
from schemas.artifacts import DataArtifact
from schemas.config import RunConfig
from schemas.errors import DatasetRefused
from tasks.data.locating import locate_data
from tasks.data.task import label_rows, validate_data
from tasks.decision.endpoints import with_teacher
from tasks.decision.verdict.rules import judge
from tests.data.conftest import Room
from tests.decision.measured_arms import DECISION, an_arm
from tests.endpoints import completion, serving
from tests.flows.conftest import small

__all__ = ["small"]

LABELS = {"answer": {"format": "choice", "labels": ["red", "blue"]}}
OWN = [{"prompt": f"own request {n}", "completion": ("red", "blue")[n % 2]} for n in range(20)]
OPEN = [{"prompt": f"open request {n}"} for n in range(12)]


class Teacher:
    """Answers red; `odd` has other answers by request, one after the other."""

    def __init__(self, **odd: list[str]) -> None:
        self.odd, self.asked = {name.replace("_", " "): list(texts) for name, texts in odd.items()}, list[str]()

    def __call__(self, body: dict[str, Any]) -> Response:
        request = body["messages"][1]["content"]
        self.asked.append(request)
        text = self.odd[request].pop(0) if self.odd.get(request) else "red"
        return JSONResponse(completion(body, text=text, finish="length" if text == "re" else "stop"))


def labelled(room: Room, teacher: Teacher, **data: Any) -> tuple[RunConfig, pl.DataFrame, DataArtifact]:
    """Label and check the room's rows; return the teacher's answers and the data."""
    with serving(teacher) as url:
        values = room.config(LABELS, **data).model_dump()
        values["data"]["teacher"], values["arms"]["endpoints"] = "big", {"big": {"url": url, "model": "m"}}
        config = RunConfig.model_validate(values)
        sources = locate_data(config, room.workdir.store)
        labels = label_rows(config.task, config.data, config.arms.endpoints["big"], 8, sources)
    made = validate_data(config.task, config.data, config.seed, sources, labels=labels)
    return config, pl.read_parquet(room.workdir.store.open(labels.digest) / "labels.parquet"), made


def rows_of(room: Room, made: DataArtifact, name: str) -> pl.DataFrame:
    return pl.read_parquet(room.workdir.store.open(made.digest) / f"{name}.parquet")


def test_rows_without_an_answer_get_the_teachers_and_are_counted_as_its_own_and_never_held_out(room: Room) -> None:
    room.write([*OWN, *OPEN])
    teacher = Teacher()
    _, _, made = labelled(room, teacher, held_out=0.5)
    assert sorted(teacher.asked) == sorted(row["prompt"] for row in OPEN)
    assert (made.teacher, made.taught_rows, made.taught_held_out) == ("big", 12, 0)
    taught = rows_of(room, made, "taught")["row_id"].to_list()
    assert taught == list(range(21, 33))
    assert rows_of(room, made, "train").filter(pl.col("row_id").is_in(taught))["completion"].to_list() == ["red"] * 12
    assert rows_of(room, made, "held_out").filter(pl.col("row_id").is_in(taught)).is_empty()


def test_answers_that_break_the_contract_are_cut_off_or_disagree_are_left_out_and_say_why(room: Room) -> None:
    room.write([*OWN, *OPEN, {"prompt": "Own request 3"}, {"prompt": "open request 1"}])
    teacher = Teacher(open_request_2=["green"], open_request_3=["re"], open_request_4=["red", "blue", "red"])
    _, labels, made = labelled(room, teacher, teacher_samples=3)
    assert dict(labels.filter(pl.col("answer").is_null()).select("row_id", "why").iter_rows()) == {
        23: "breaks the contract (answer_not_a_label)",
        24: "cut off at arms.max_new_tokens",
        25: "fewer than 100% of 3 samples agree",
        33: "another row with the same request comes first",
        34: "another row with the same request comes first",
    }
    assert (made.taught_rows, made.reasons) == (9, {"not_labelled": 5})
    assert len(teacher.asked) == 36


def test_a_smaller_agreement_keeps_what_most_samples_say(room: Room) -> None:
    room.write([*OWN, *OPEN])
    teacher = Teacher(open_request_4=["red", "blue", "red"])
    assert labelled(room, teacher, teacher_samples=3, teacher_agreement=0.6)[2].taught_rows == 12


def test_a_row_of_a_held_out_group_is_taken_out_when_its_answer_is_the_teachers(room: Room) -> None:
    named = [{**row, "group": f"g{place % 10}"} for place, row in enumerate([*OWN, *OPEN])]
    room.write(named)
    _, _, made = labelled(room, Teacher(), group="group", held_out=0.5)
    assert made.reasons["teacher_held_out"] + made.taught_rows == 12 and made.taught_held_out == 0


def test_requests_alone_are_held_out_only_where_the_config_says_so(room: Room) -> None:
    room.write("".join(f"please paint door {n} of house {n * 7}\n" for n in range(40)), "requests.txt")
    with pytest.raises(DatasetRefused, match=r"No row has an answer of its own.*data\.teacher_held_out: true"):
        labelled(room, Teacher(), source="requests.txt")
    _, _, made = labelled(room, Teacher(), source="requests.txt", teacher_held_out=True, tie_near_duplicates=False)
    assert made.taught_rows == made.train_rows and made.taught_held_out == made.held_out_rows > 0
    told = with_teacher(judge([an_arm("prompt", 0.9)], None, DECISION, None), made).caveats[-1]
    assert "a score says how often an arm answers as big does, not how often it is right" in told


def test_a_secret_is_not_sent(room: Room) -> None:
    room.write([*OWN, *OPEN, {"prompt": "my key is AKIAIOSFODNN7EXAMPLE"}])
    teacher = Teacher()
    _, _, made = labelled(room, teacher, refuse_above=0.5)
    assert len(teacher.asked) == 12 and made.reasons == {"secret": 1}


def test_label_writes_a_file_for_people_and_never_over_one(small: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (small.parent / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in [*OWN, *OPEN]))
    with serving(Teacher(open_request_2=[""])) as url:
        options = ["--set", f"arms.endpoints={{big: {{url: '{url}', model: m}}}}", "--set", "data.group=null"]
        assert main(["label", str(small), *options, "--set", "data.teacher=big"]) == 0
        assert "12 rows with a request only, 11 answers of big kept" in capsys.readouterr().out
        lines = [json.loads(line) for line in (small.parent / "small.labels.jsonl").read_text().splitlines()]
        assert lines[0] == {"prompt": "open request 0", "completion": "red", "kept": True}
        assert lines[2]["why_not"] == "breaks the contract (empty_answer)"
        assert main(["label", str(small), *options, "--set", "data.teacher=big"]) == 2
        assert "is there already" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("setting", "says"),
    [
        ("data.teacher=nobody", "nobody is none of arms.endpoints (there are none)"),
        ("data.teacher_samples=0", "greater than or equal to 1"),
        ("data={source: a, teacher: b, messages: c}", "do not go with it"),
    ],
)
def test_a_teacher_that_cannot_be_asked_is_refused(
    setting: str, says: str, small: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["plan", str(small), "--set", setting]) == 2
    assert says in capsys.readouterr().err
