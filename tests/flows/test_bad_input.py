"""Wrong input: the right exit code, a message that names what, where and the next step, no traceback, nothing
half-written.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from flows.command_line.main import main
from tests.flows.conftest import tuneworthy

Break = Callable[[Path], list[str]]


def rows(text: str | bytes) -> Break:
    """Return a way to break a run: other bytes in its rows file."""

    def broken(folder: Path) -> list[str]:
        (folder / "rows.jsonl").write_bytes(text.encode() if isinstance(text, str) else text)
        return []

    return broken


def neutral(text: str) -> Break:
    """Return a way to break a run: neutral texts of its own."""

    def broken(folder: Path) -> list[str]:
        (folder / "neutral.jsonl").write_text(text, encoding="utf-8")
        return ["--set", f"benchmark.neutral={folder / 'neutral.jsonl'}"]

    return broken


def scorer(text: str) -> Break:
    """Return a way to break a run: a scorer of its own."""

    def broken(folder: Path) -> list[str]:
        (folder / "mine.py").write_text(text, encoding="utf-8")
        return ["--set", "task.metric=mine.py:score"]

    return broken


def override(*settings: str) -> Break:
    """Return a way to break a run: overridden settings."""
    return lambda _: [part for setting in settings for part in ("--set", setting)]


def endpoint(setting: str, name: str = "incumbent") -> Break:
    """Return a way to break a run: an endpoint with a setting of its own."""
    usual = {"url": "'https://h/v1'", "model": "m"} | dict([setting.split(": ")])
    return override(f"arms.endpoints={{{name}: {{{', '.join(f'{key}: {value}' for key, value in usual.items())}}}}}")


GOOD = '{"prompt": "a b", "completion": "b", "group": "g1"}\n'
CASES: dict[str, tuple[Break, int, str]] = {
    "misspelt key": (override("training.rnak=3"), 2, "did you mean training.rank?"),
    "unknown section": (override("trainig.rank=3"), 2, "trainig"),
    "value out of bounds": (override("training.rank=0"), 2, "greater than or equal to 1"),
    "wrong type": (override("training.rank=many"), 2, "training.rank"),
    "base without a place for tools": (
        override("task.answer={format: tool_call}", "task.metric=tool_call"),
        2,
        "no place for tools",
    ),
    "grammar for free text": (override("arms.untrained=[prompt+grammar]"), 2, "text has no grammar"),
    "grammar of a pattern that looks ahead": (
        override("arms.untrained=[prompt+grammar]", "task.answer={format: text, pattern: '(?=a)b'}"),
        2,
        "look-around",
    ),
    "metric that cannot read the answer": (override("task.metric=sql_execution"), 2, "needs answer.format"),
    "metric that does not exist": (override("task.metric=f1"), 2, 'there is no metric "f1"; there are json_fields'),
    "scorer that is missing": (override("task.metric=mine.py:score"), 2, "mine.py cannot be read: No such file"),
    "scorer without its function": (scorer("def scores(a, b): pass"), 2, "does not define a function score"),
    "scorer that raises": (scorer("def score(a, b):\n  return 1 / 0"), 2, "mine.py:score raises ZeroDivisionError in"),
    "examples beside no passages": (
        override("arms.retrieval.shots=4"),
        2,
        "these examples go before passages, and there are none, as data.corpus is not set",
    ),
    "slice column that is missing": (override("decision.slices=[gruop]"), 2, "did you mean 'group'? Its columns: "),
    "key in an endpoint": (endpoint("key: sk-abc"), 2, "is not the place of a key but looks like the key itself"),
    "key in an endpoint's url": (endpoint("url: 'https://jo:sk-abc@h/v1'"), 2, "holds more than an address"),
    "endpoint without an address": (endpoint("url: localhost"), 2, "is no address of a server"),
    "endpoint with the name of an arm": (endpoint("model: m", "prompt"), 2, "has a name that an arm has: prompt"),
    "endpoint with a price alone": (endpoint("price_in: 1"), 2, "its prices have no currency; set costs"),
    "endpoint whose key is missing": (endpoint("key: 'env:NO_SUCH_KEY'"), 5, "NO_SUCH_KEY is not set here"),
    "missing rows file": (override("data.source=nowhere.jsonl"), 2, "nowhere.jsonl"),
    "rows behind a web address": (override("data.source=https://h/rows.jsonl"), 2, "rows are not read from https://"),
    "rows in a bucket": (override("data.source=s3://b/rows.jsonl"), 2, "rows are not read from s3://"),
    "half a character": (override('task.instruction="a \\ud800"'), 2, "surrogates not allowed"),
    "several sources": (override("data.source=[rows.jsonl]"), 2, "several files are named by a glob"),
    "rows of the hub without its scheme": (override("data.source=acme/rows"), 2, "it would be hub://acme/rows"),
    "one task instead of a list": (override("benchmark.tasks=general_mni"), 2, "Did you mean general_mini"),
    "missing base folder": (override("base.model=./no-such-model"), 5, "no-such-model"),
    "package without a model": (override("base.model=package://no_such_package"), 5, "no_such_package"),
    "hub id without revision": (override("base.model=team/model"), 2, "revision"),
    "unknown benchmark": (override("benchmark.tasks=[general_mni]"), 2, "general_mini"),
    "empty file of neutral texts": (neutral(""), 2, "has 0 different texts"),
    "neutral texts that are no JSON": (neutral("once upon a time\n"), 2, "line 1: each line is JSON"),
    "a gate that nobody knows": (override("benchmark.require=never"), 2, "'kept' or 'not_lost'"),
    "a template that nobody knows": (override("benchmark.chat_template=sometimes"), 2, "'auto', 'on' or 'off'"),
    "empty rows file": (rows(""), 3, "rows.jsonl"),
    "malformed line": (rows(GOOD * 2 + "{broken\n" + GOOD), 3, "3"),
    "wrong encoding": (rows(GOOD.encode() + "{'é'}".encode("latin-1")), 3, "wrong_encoding"),
    "missing column": (rows('{"line": "a", "completion": "b", "group": "g"}\n' * 3), 3, "prompt"),
    "empty answer": (rows(GOOD + '{"prompt": "c d", "completion": "", "group": "g2"}\n'), 3, "empty_answer"),
    "one group only": (
        rows("".join(f'{{"prompt": "p {n}", "completion": "c", "group": "g"}}\n' for n in range(9))),
        3,
        "group",
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_wrong_input_is_refused_in_words(
    case: str, small: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    breaks, code, says = CASES[case]
    arguments = breaks(small.parent)
    assert main(["validate", str(small), "--json", *arguments]) == code
    heard = capsys.readouterr()
    assert says in heard.err
    assert "Traceback" not in heard.err and "sk-abc" not in heard.err + heard.out
    assert json.loads(heard.out)["exit_code"] == code
    assert not (tmp_path / "store" / "records" / "validate_data").exists()


@pytest.mark.slow
def test_a_refusal_inside_a_run_is_told_once_with_its_page_and_without_a_traceback(small: Path, tmp_path: Path) -> None:
    (small.parent / "rows.jsonl").write_text('{"prompt": "a", "completion": "b", "tools": ["t"], "group": "g"}\n' * 3)
    ended = tuneworthy("run", small, "--json", store=tmp_path / "store")
    assert ended.returncode == 3
    assert "Traceback" not in ended.stderr
    assert ended.stderr.count("Dataset rows") == 1
    assert "Examples of each reason: " in ended.stderr
    assert json.loads(ended.stdout)["error"] == "DatasetRefused"


def test_a_slice_column_of_one_value_per_row_is_refused_by_validate(
    small: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["validate", str(small), "--set", "decision.slices=[group]"]) == 0
    assert main(["validate", str(small), "--set", "decision.slices=[prompt]"]) == 2
    assert "decision.slices: column 'prompt' has another value in every held-out row" in capsys.readouterr().err


NO_CONFIGS = [
    (None, "no such file"),
    ("", "contains nothing"),
    ("a: [", "is not YAML"),
    ("- a\n", "not settings"),
    ("name: a\nname: b\n", "is given twice"),
    ("name: a\n", "missing"),
]


@pytest.mark.parametrize(("text", "says"), NO_CONFIGS)
def test_a_config_that_is_none_is_refused(
    text: str | None, says: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "x.yaml"
    if text is not None:
        path.write_text(text)
    assert main(["plan", str(path)]) == 2
    assert says in capsys.readouterr().err


def test_all_problems_are_told_at_once(small: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["plan", str(small), "--set", "training.rank=0", "--set", "seed=-1", "--set", "data.sauce=x"]) == 2
    heard = capsys.readouterr().err
    assert "3 problems" in heard
    assert all(name in heard for name in ("training.rank", "seed", "data.sauce"))


def test_a_store_that_cannot_be_written_is_named(
    small: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("TUNEWORTHY_STORE", str(tmp_path / "file" / "store"))
    assert main(["validate", str(small)]) == 5
    assert "TUNEWORTHY_STORE" in capsys.readouterr().err
