"""`tuneworthy validate` answers with a page: on the rows that were kept, or on why they were refused."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from flows.command_line.main import main


@pytest.fixture
def validated(small: Path, capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, str, str]]:
    def run(rows: list[dict[str, str]], *options: str) -> tuple[int, str, str]:
        source = small.parent / "rows.jsonl"
        source.write_text(source.read_text() + "".join(json.dumps(row) + "\n" for row in rows))
        capsys.readouterr()
        code = main(["validate", str(small), *options])
        return code, *capsys.readouterr()

    return run


@pytest.mark.slow
def test_a_sound_set_gets_a_page_whose_path_is_told(validated: Callable[..., tuple[int, str, str]]) -> None:
    code, out, _ = validated([])
    path = Path(out.splitlines()[-1].removeprefix("report on the rows: "))
    assert code == 0
    assert path.read_text(encoding="utf-8").startswith("<!doctype html>")
    answer = json.loads(validated([], "--json")[1])
    assert Path(answer["report"]) == path
    assert f"{answer['foresight']['in_words']}.\n" in out
    assert "nothing can be told at a confidence" in answer["foresight"]["in_words"]


def test_a_refused_set_gets_a_page_too_and_the_copy_is_told_before(
    validated: Callable[..., tuple[int, str, str]], tmp_path: Path
) -> None:
    secret = "AKIA" + "IOSFODNN7EXAMPLE"
    broken = [
        {"prompt": f"use {secret}", "completion": "red", "group": "x"},
        {"prompt": "caf\u00c3\u00a9", "completion": "red", "group": "y"},
    ]
    code, out, err = validated(broken, "--fix", str(tmp_path / "mended.jsonl"))
    assert code == 3
    assert 'damaged_encoding             1\n    rows.jsonl:62  "caf\u00c3\u00a9" -> "caf\u00e9"' in out
    page = Path(err.rpartition("Examples of each reason: ")[2].strip())
    text = page.read_text(encoding="utf-8")
    assert text.startswith("<!doctype html>")
    assert "2 of 62 rows" in text
    assert "use [SECRET]" in text
    assert secret not in out + err + text


def test_a_refusal_that_is_about_no_row_names_no_page(validated: Callable[..., tuple[int, str, str]]) -> None:
    code, _, err = validated([], "--set", "data.group=nowhere")
    assert code == 3
    assert "has no column 'nowhere'" in err
    assert "Examples of each reason" not in err


@pytest.mark.parametrize("setting", ["arms.few_shot.shots=64", "arms.retrieval.top_k=32"])
def test_more_examples_than_train_rows_are_refused_before_an_arm_is_measured(
    validated: Callable[..., tuple[int, str, str]], setting: str
) -> None:
    code, _, err = validated([], "--set", setting, "--set", "data.held_out=0.6")
    assert code == 2
    assert f"{setting.partition('=')[0]}: {setting.partition('=')[2]} requested, but there are only" in err
