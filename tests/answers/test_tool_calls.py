"""Tool calls as answers: found in the marks of any template, compared field by field, checked against their tools."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from schemas.errors import ConfigRefused
from schemas.sections.task import TaskConfig
from tasks.answers.contract import TOOLS, contract_of
from tasks.answers.metrics.tool_call import tool_call
from tasks.answers.scoring import Scorer

FIND = '{"name": "find", "arguments": {"number": 4, "shop": "east"}}'
TASK = {"instruction": "x", "answer": {"format": "tool_call", "tools": "tools.json"}, "metric": "tool_call"}
PARAMETERS = {"type": "object", "properties": {"number": {"type": "integer"}}, "required": ["number"]}


@pytest.mark.parametrize(
    ("output", "gold", "score"),
    [
        (FIND, FIND, 1),
        (f"<tool_call>\n{FIND}\n</tool_call>", FIND, 1),
        (f"[TOOL_CALLS] [{FIND}]", FIND, 1),
        (f"<|python_tag|>{FIND.replace('arguments', 'parameters')}", FIND, 1),
        ('{"function": {"name": "find", "arguments": "{\\"shop\\": \\"east\\", \\"number\\": 4}"}}', FIND, 1),
        ('{"name": "find", "arguments": {"number": 5, "shop": "east"}}', FIND, 2 / 3),
        ('{"name": "find", "arguments": {"number": 4}}', FIND, 2 / 3),
        ('{"name": "fetch", "arguments": {"number": 4, "shop": "east"}}', FIND, 0),
        (f"Sure: {FIND}", FIND, 0),
        ("On stand 4.", FIND, 0),
        ("", FIND, 0),
        (f"{FIND}\n{FIND}", FIND, 0.5),
        (FIND, f"[{FIND}, {FIND}]", 0.5),
        (f"{FIND}\n{FIND}", f"[{FIND}, {FIND}]", 1),
        (FIND, "On stand 4.", 0),
        ("It is somewhere else.", "On stand 4.", 1),
        (f"I look. {FIND}", json.dumps({"content": "I look.", "tool_calls": [json.loads(FIND)]}), 1),
    ],
)
def test_a_call_counts_by_its_name_then_field_by_field(output: str, gold: str, score: float) -> None:
    assert tool_call(output, gold) == pytest.approx(score)


def test_words_beside_a_call_are_passed_over_in_the_lenient_reading_alone(tmp_path: Path) -> None:
    task = TaskConfig.model_validate({**TASK, "answer": {"format": "tool_call"}})
    found = Scorer.for_task(task, tmp_path).score(f"Sure: {FIND}", FIND)
    assert (found.strict, found.lenient) == (0, 1)


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        ('{"name": "find", "arguments": {"number": 4}}', None),
        ("There is no such bike.", None),
        (" ", "empty_answer"),
        ('{"name": "find", "arguments": {"number": "four"}}', "answer_breaks_schema"),
        ('{"name": "find", "arguments": {}}', "answer_breaks_schema"),
        ('{"name": "fetch", "arguments": {"number": 4}}', "answer_breaks_schema"),
        ('<tool_call>{"name": "find", "arguments": {"number": 4', "answer_not_json"),
    ],
)
def test_a_call_has_to_name_a_tool_and_fit_its_parameters(tmp_path: Path, answer: str, reason: str | None) -> None:
    tools = [{"type": "function", "function": {"name": "find", "parameters": PARAMETERS}}]
    (tmp_path / TOOLS).write_text(json.dumps(tools))
    found = contract_of(TaskConfig.model_validate(TASK), tmp_path)(answer)
    assert (found.reason if found else None) == reason


@pytest.mark.parametrize("content", ["{}", "[1]", "[{}]", "no", '[{"name": "x", "parameters": {"type": 3}}]'])
def test_a_file_that_lists_no_tools_is_refused_by_name(tmp_path: Path, content: str) -> None:
    (tmp_path / TOOLS).write_text(content)
    if content == "{}":
        assert contract_of(TaskConfig.model_validate(TASK), tmp_path)("text") is None
        return
    with pytest.raises(ConfigRefused, match=r"task\.answer\.tools"):
        contract_of(TaskConfig.model_validate(TASK), tmp_path)
