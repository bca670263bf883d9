"""The support desk demo: its tickets, its documents and its schema tell the same rules."""

import json
import re
import runpy
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

DEMO = Path(__file__).parents[2] / "configs" / "demo"
SCRIPT = DEMO / "make_tickets.py"


@pytest.fixture(scope="module")
def rows() -> list[dict[str, str]]:
    """Read the shipped tickets."""
    lines = (DEMO / "tickets.jsonl").read_text(encoding="utf-8").splitlines()
    return [json.loads(line) for line in lines]


@pytest.fixture(scope="module")
def script() -> dict[str, Any]:
    """Load the script's names without running it."""
    return runpy.run_path(str(SCRIPT))


@pytest.fixture(scope="module")
def documents() -> dict[str, str]:
    """Read every policy document by its file name."""
    return {path.stem: path.read_text(encoding="utf-8") for path in sorted((DEMO / "policies").glob("*.md"))}


def answers(rows: list[dict[str, str]]) -> list[dict[str, Any]]:
    """Parse the completions."""
    return [json.loads(row["completion"]) for row in rows]


def shingles(prompt: str) -> set[tuple[str, ...]]:
    """Cut a prompt into runs of three words."""
    words = re.findall(r"\w+", prompt.lower())
    return {tuple(words[at : at + 3]) for at in range(len(words) - 2)}


def test_the_script_writes_the_shipped_file_byte_for_byte() -> None:
    """The file in the repo is the script's own."""
    assert subprocess.run([sys.executable, str(SCRIPT), "--check"], check=False).returncode == 0


def test_check_tells_an_altered_file(script: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """--check is not content with any file."""
    altered = tmp_path / "tickets.jsonl"
    altered.write_text(script["file_text"]().replace("P3", "P4", 1), encoding="utf-8")
    monkeypatch.setitem(script["main"].__globals__, "FILE", altered)
    monkeypatch.setattr(sys, "argv", [str(SCRIPT), "--check"])
    assert script["main"]() == 1


def test_there_are_enough_rows_in_enough_groups(rows: list[dict[str, str]]) -> None:
    """A split by group has enough of both."""
    sizes = Counter(row["group"] for row in rows)
    assert len(rows) >= 440
    assert len(sizes) >= 60
    assert set(sizes.values()) <= set(range(4, 13))


def test_every_row_has_the_three_columns(rows: list[dict[str, str]]) -> None:
    """No column is missing and none is extra."""
    assert {tuple(row) for row in rows} == {("prompt", "completion", "group")}


def test_no_prompt_stands_twice(rows: list[dict[str, str]]) -> None:
    """Nor, therefore, in two groups."""
    prompts = [" ".join(row["prompt"].lower().split()) for row in rows]
    assert len(set(prompts)) == len(prompts)


def test_tickets_of_two_groups_are_not_nearly_the_same(rows: list[dict[str, str]]) -> None:
    """They share small talk, but less than a third of their three-word runs."""
    cut = [(row["group"], shingles(row["prompt"])) for row in rows]
    for at, (group, one) in enumerate(cut):
        for other_group, other in cut[:at]:
            assert group == other_group or 3 * len(one & other) < len(one | other)


def test_tickets_have_twenty_to_fifty_five_words(rows: list[dict[str, str]]) -> None:
    """The demo stays affordable on a processor."""
    assert all(20 <= len(row["prompt"].split()) <= 55 for row in rows)


def test_every_answer_meets_the_schema_with_its_keys_in_order(rows: list[dict[str, str]]) -> None:
    """One line of JSON each, written in one way."""
    schema = json.loads((DEMO / "answer.schema.json").read_text(encoding="utf-8"))
    Draft202012Validator.check_schema(schema)
    meets = Draft202012Validator(schema).is_valid
    for row, answer in zip(rows, answers(rows), strict=True):
        assert meets(answer), row
        assert list(answer) == schema["required"]
        assert row["completion"] == json.dumps(answer)


def test_order_numbers_are_read_off_the_ticket(rows: list[dict[str, str]]) -> None:
    """A serial number is not an order, and no order is left out."""
    for row, answer in zip(rows, answers(rows), strict=True):
        found = re.findall(r"(?<![a-z0-9])\d{5}\b", row["prompt"].lower())
        assert found == ([answer["order"]] if answer["order"] else []), row


def test_products_are_read_off_the_ticket(rows: list[dict[str, str]], script: dict[str, Any]) -> None:
    """A ticket names the answer's product, by its name or its kind, and no other."""
    products = script["scenarios"]()["products"]
    for row, answer in zip(rows, answers(rows), strict=True):
        text = row["prompt"].lower()
        named = {name for name, kind in products.items() if name.lower() in text or kind in text}
        assert named == ({answer["product"]} if answer["product"] else set()), row


def test_every_policy_in_use_has_a_document_that_names_it(
    rows: list[dict[str, str]], documents: dict[str, str]
) -> None:
    """R-00 tells how to read a ticket; each other document answers some."""
    used = {answer["policy"] for answer in answers(rows)}
    assert used == set(documents) - {"R-00"}
    assert all(text.startswith(f"# {name} ") for name, text in documents.items())


def test_documents_are_short(documents: dict[str, str]) -> None:
    """One passage each, so that retrieval brings the whole rule."""
    assert 20 <= len(documents) <= 30
    assert all(60 <= len(text.split()) <= 120 for text in documents.values())


def test_rows_follow_the_rule_that_their_document_states(script: dict[str, Any], documents: dict[str, str]) -> None:
    """A document names its usual priority first, then the one that its condition earns; and one queue."""
    for ticket in script["tickets"]():
        text = documents[ticket.answer["policy"]]
        stated = re.findall(r"\bP[1-4]\b", text)
        assert ticket.answer["priority"] == (stated[1] if ticket.is_raised else stated[0]), ticket
        assert re.findall(r"(\w+) queue", text) == [ticket.answer["queue"]]


def test_a_group_has_one_policy(rows: list[dict[str, str]]) -> None:
    """A group is one way to put one matter."""
    pairs = {(row["group"], answer["policy"]) for row, answer in zip(rows, answers(rows), strict=True)}
    assert len(pairs) == len({group for group, _ in pairs})
