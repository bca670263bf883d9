"""`tuneworthy init` on real data sets: a config that validates, rows that are refused for what is wrong with them, or a
question.
"""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from flows.command_line.main import main
from tests.real.test_real_data import shared

pytestmark = pytest.mark.real

VALID = {"banking77/test.csv": "choice", "gsm8k_test/test.jsonl": "text"}
READ = {
    "geoquery/geography.json": "sql",
    "arc_easy/arc_easy.jsonl": "text",
    "xquad_en/xquad.en.json": "text",
}  # refused for some of their rows
ASKED = {
    "truthfulqa/TruthfulQA.csv": "Which column is the answer wanted?",
    "truthfulqa/mc_task.json": "Where is the answer wanted?",
    "piqa/valid.jsonl": "Which column is the answer wanted?",
    "blimp10": "Which column is the request?",
    "dstc9_faq_replies/val_labels.json": "Where is the request?",
    "dstc9_faq_replies/knowledge.json": "Where is the request?",
    "geoquery/geography-schema.csv": "Which column is the request?",
    "nl2bash/all.nl": "If requests and answers stand in two files",
    "piqa/valid-labels.lst": "of no kind that is read",
}
NO_ROWS = {"banking77/categories.json": "77 times: a JSON text, not an object"}


@pytest.fixture(autouse=True)
def empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def named(name: str) -> str:
    folder, _, file = name.partition("/")
    return str(shared(folder) / file)


@pytest.mark.parametrize("name", VALID)
def test_a_draft_for_real_rows_validates(name: str) -> None:
    assert main(["init", named(name), "--out", "draft.yaml"]) == 0
    draft = yaml.safe_load(Path("draft.yaml").read_text(encoding="utf-8"))
    assert draft["task"]["answer"]["format"] == VALID[name]
    assert main(["validate", "draft.yaml"]) == 0


@pytest.mark.parametrize("name", READ)
def test_a_draft_reads_real_rows_as_they_lie_and_asks_about_those_that_are_refused(
    name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["init", named(name), "--out", "draft.yaml"]) == 0
    is_asked = "open: data.refuse_above: Are the refused rows right" in capsys.readouterr().out
    draft = yaml.safe_load(Path("draft.yaml").read_text(encoding="utf-8"))
    assert draft["task"]["answer"]["format"] == READ[name]
    assert main(["validate", "draft.yaml"]) == (3 if is_asked else 0)


def test_the_dirty_rows_of_alpaca_are_read_by_its_draft_and_refused_for_what_is_wrong_with_them(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["init", named("alpaca_dirty/alpaca_en_demo.json"), "--out", "draft.yaml"]) == 0
    assert main(["validate", "draft.yaml"]) == 3
    assert "48 of 999 rows. speaks_as_ai 26" in capsys.readouterr().err


@pytest.mark.parametrize("name", [*ASKED, *NO_ROWS])
def test_files_that_are_no_requests_and_answers_are_told_so_in_words(
    name: str, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    assert main(["init", named(name)]) == (2 if name in ASKED else 3)
    assert (ASKED | NO_ROWS)[name] in capsys.readouterr().err
    assert list(tmp_path.glob("*.yaml")) == []


def test_a_question_about_truthfulqa_is_answered_by_naming_the_column() -> None:
    answer = ["--completion", "Best Answer", "--out", "draft.yaml"]
    assert main(["init", named("truthfulqa/TruthfulQA.csv"), *answer]) == 0
    assert main(["validate", "draft.yaml"]) == 0
