"""`tuneworthy init`: a config that `validate` accepts for rows of many forms, or a question in words."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable
from contextlib import closing
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import yaml

from flows.command_line.main import main
from tests.command_line.row_files import ASKED, CASES, LABELS, PAIRS, TOPICS, Case, as_lines, talk

Heard = Callable[..., tuple[int, str, str]]


@pytest.fixture
def command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Heard:
    """Run a command line in an empty folder."""
    monkeypatch.chdir(tmp_path)

    def run(*line: str) -> tuple[int, str, str]:
        capsys.readouterr()
        code = main(list(line))
        return code, *capsys.readouterr()

    return run


def write_shop(folder: Path) -> None:
    """Write the database that the queries are about."""
    with closing(sqlite3.connect(folder / "shop.sqlite")) as database, database:
        database.execute("CREATE TABLE part (number INTEGER, topic TEXT)")
        database.executemany("INSERT INTO part VALUES (?, ?)", enumerate(TOPICS))


def flat(tree: dict[str, Any]) -> dict[str, Any]:
    """Return the settings of a config by dotted name."""
    parts = {f"{top}.{name}": value for top, inner in tree.items() if isinstance(inner, dict)
             for name, value in inner.items()}  # fmt: skip
    return tree | parts


@pytest.mark.slow
@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_a_draft_has_what_the_rows_say_and_validates(case: Case, command: Heard, tmp_path: Path) -> None:
    (tmp_path / case.name).write_bytes(case.content)
    write_shop(tmp_path)
    code, out, err = command("init", case.name, *case.options)
    assert (code, err) == (0, "")
    config = out.splitlines()[-1].split()[-1]
    settings = flat(yaml.safe_load(Path(config).read_text(encoding="utf-8")))
    assert {name: settings.get(name) for name in case.settings} == case.settings
    code, out, err = command("validate", config, "--json")
    assert code == 0, err
    assert json.loads(out)["data"]["refused_rows"] == 0


def test_every_guess_is_told_with_its_reason_and_commented_in_the_file(command: Heard, tmp_path: Path) -> None:
    (tmp_path / "intents.csv").write_bytes(CASES["labels"].content)
    _, out, _ = command("init", "intents.csv")
    assert "3 different answers in 60 rows" in out
    assert "open: decision.target" in out
    text = (tmp_path / "intents.yaml").read_text(encoding="utf-8")
    assert text.startswith("# Drafted from the rows by: tuneworthy init intents.csv\n# ")
    assert "tuneworthy run intents.yaml" in text.partition("\n\n")[0]
    lines = text.partition("\n\n")[2].splitlines()
    bare = [
        line
        for above, line in pairwise(lines)
        if line.startswith("  ") and line[2] not in " #" and not above.strip().startswith("#")
    ]
    assert bare == []


def test_a_schema_has_the_fixed_values_and_the_keys_that_all_answers_have(command: Heard, tmp_path: Path) -> None:
    (tmp_path / "forms.jsonl").write_bytes(CASES["JSON answers"].content)
    assert command("init", "forms.jsonl")[0] == 0
    schema = json.loads((tmp_path / "forms.schema.json").read_text())
    assert schema["properties"]["kind"] == {"enum": sorted(LABELS)}
    assert schema["properties"]["part"] == {"type": "string"}
    assert schema["properties"]["shop"] == {"type": ["integer", "null"]}
    assert schema["required"] == ["part", "kind", "shop"]


QUESTIONS = {
    "two free texts": ([{"a": ask, "b": say} for ask, say in PAIRS], "Which column is the request? (--prompt COLUMN)"),
    "several answers": (
        [{"question": ask, "Best Answer": say, "Worst Answer": say[::-1]} for ask, say in PAIRS],
        "Which column is the answer wanted? (--completion COLUMN)\n       'Best Answer': text",
    ),
    "an answer that is a number": (
        [{"query": ask, "choices": ["a", "b"], "score": 1} for ask in ASKED],
        "Where is the answer wanted? It has to be text in a column of its own",
    ),
    "several groups": (
        [{"prompt": a, "completion": b, "session": n % 9, "user_id": n % 8} for n, (a, b) in enumerate(PAIRS)],
        "(--group COLUMN, or --group \"\" for none)\n       'session': number",
    ),
    "several system messages": (
        [{"messages": talk("role", [("system", f"Be {a[-9:]}"), ("user", a), ("assistant", b)])} for a, b in PAIRS],
        "(--instruction TEXT)",
    ),
    "queries without a database": (
        [{"prompt": ask, "completion": "SELECT a FROM b"} for ask in ASKED],
        "(--database FILE; or --answer text to compare them as text)",
    ),
    "conversations of speakers that nobody knows": (
        [{"dialog": talk("role", [("captain", a), ("mate", b)])} for a, b in PAIRS],
        "role 'captain' is not known",
    ),
}


@pytest.mark.parametrize("case", QUESTIONS)
def test_what_only_the_user_knows_is_asked_and_nothing_is_written(case: str, command: Heard, tmp_path: Path) -> None:
    rows, says = QUESTIONS[case]
    (tmp_path / "rows.jsonl").write_bytes(as_lines(rows))
    code, out, err = command("init", "rows.jsonl")
    assert (code, out) == (2, "")
    assert says in err
    assert [path.name for path in tmp_path.iterdir()] == ["rows.jsonl"]


def test_a_question_is_answered_by_its_option(command: Heard, tmp_path: Path) -> None:
    (tmp_path / "pairs.jsonl").write_bytes(as_lines([{"a": ask, "b": say} for ask, say in PAIRS]))
    assert command("init", "pairs.jsonl", "--prompt", "b", "--completion", "a")[0] == 0
    config = (tmp_path / "pairs.yaml").read_text(encoding="utf-8")
    assert flat(yaml.safe_load(config))["data.prompt"] == "b"
    assert "init pairs.jsonl --prompt b --completion a\n" in config
    assert "There is no column 'c'" in command("init", "pairs.jsonl", "--prompt", "c")[2]


def test_a_file_is_overwritten_with_force_only(command: Heard, tmp_path: Path) -> None:
    (tmp_path / "intents.csv").write_bytes(CASES["labels"].content)
    (tmp_path / "mine.yaml").write_text("mine")
    code, _, err = command("init", "intents.csv", "--out", "mine.yaml")
    assert code == 2 and "--force" in err
    assert (tmp_path / "mine.yaml").read_text() == "mine"
    assert command("init", "intents.csv", "--out", "mine.yaml", "--force")[0] == 0
    assert (tmp_path / "mine.yaml").read_text().startswith("# Drafted")


@pytest.mark.parametrize(
    ("name", "content", "code", "says"),
    [
        ("rows.txt", b"a\nb\n", 2, "of no kind that is read"),
        ("rows.json", b'{"data": []}', 3, "is a JSON object"),
        ("rows.jsonl", b'"a"\n"b"\n', 3, "2 times: a JSON"),
        ("rows.jsonl", b"", 3, "has no row"),
    ],
)
def test_a_file_that_cannot_be_read_is_told_with_a_way_out(
    name: str, content: bytes, code: int, says: str, command: Heard, tmp_path: Path
) -> None:
    (tmp_path / name).write_bytes(content)
    found, _, err = command("init", name)
    assert found == code
    assert says in err
    assert "JSON Lines" in err


@pytest.mark.slow
def test_a_folder_is_all_of_its_files_where_they_are_of_one_kind(command: Heard, tmp_path: Path) -> None:
    folder = tmp_path / "in [one] place"
    folder.mkdir()
    for half in (0, 1):
        rows = [{"prompt": ask, "completion": say} for ask, say in PAIRS[half::2]]
        (folder / f"{half}.jsonl").write_bytes(as_lines(rows))
    code, out, _ = command("init", folder.name, "--json")
    assert code == 0
    assert command("validate", "in-one-place.yaml")[0] == 0
    assert "2 files, 60 rows" in [guess["why"] for guess in json.loads(out)["guesses"]]
    (folder / "more.csv").write_bytes(CASES["labels"].content)
    assert "Name one of them" in command("init", folder.name, "--force")[2]


def test_rows_that_validate_would_refuse_are_a_question(command: Heard, tmp_path: Path) -> None:
    answers = ["As an AI language model, I cannot say." if number < 3 else f"It is {number}." for number in range(30)]
    lines = [{"prompt": f"How much is {number} and 0?", "completion": answer} for number, answer in enumerate(answers)]
    (tmp_path / "sums.jsonl").write_text("\n".join(map(json.dumps, lines)), encoding="utf-8")
    code, out, _ = command("init", "sums.jsonl")
    assert code == 0
    assert "open: data.refuse_above: Are the refused rows right for your task, or wrong?" in out
    assert "speaks_as_ai 3 (rows 1, 2, 3)" in out
    assert command("validate", "sums.yaml")[0] == 3
