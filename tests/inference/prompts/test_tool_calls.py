"""Tools, calls and results go through the template's own place for them; an answer that calls is learned as written."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from transformers import AutoTokenizer

from schemas.errors import ConfigRefused
from tasks.inference.prompts.prompt_builder import Example, PromptBuilder, PromptContext, Request
from tasks.inference.prompts.rendering import render_prompt, render_row
from tasks.inference.prompts.tool_calls import calling, calls_of, resulting
from tests.inference.prompts.tool_template import DEEPSEEK, QWEN
from tests.tiny_model import TEMPLATE

TOOLS = json.dumps([{"type": "function", "function": {"name": "find", "parameters": {"type": "object"}}}])
CALL = {"name": "find", "arguments": {"number": 4, "note": "élan"}}


def tokenizer_of(folder: Path, template: str) -> Any:
    made = AutoTokenizer.from_pretrained(folder)
    made.chat_template = template
    return made


@pytest.mark.parametrize("template", [QWEN, DEEPSEEK])
def test_an_answer_that_calls_is_the_templates_own_text_and_nothing_else_is_learned(
    tiny_model: Path, template: str
) -> None:
    tokenizer = tokenizer_of(tiny_model, template)
    history = ["where is it?", calling([CALL]), resulting(['{"stand": 4}']), "On stand 4."]
    row = render_row(tokenizer, "Help.", "and the other?", calling([CALL]), history, TOOLS)
    read, learned = tokenizer.decode(row.prompt_ids), tokenizer.decode(row.answer_ids)
    assert '"name": "find"' in read.split("where is it?")[0]
    assert '{"stand": 4}' in read
    assert "tool_results" not in read
    assert learned.endswith("<|im_end|>")
    assert json.loads(learned[learned.index("{") : learned.rindex("}") + 1]) == CALL
    assert learned.count("<|im_end|>") == 1
    assert read.count('"note"') == 1


def test_a_row_without_tools_is_rendered_as_before_even_where_it_reads_like_a_call(tiny_model: Path) -> None:
    tokenizer = tokenizer_of(tiny_model, QWEN)
    row = render_row(tokenizer, "Help.", "u", calling([CALL]))
    assert tokenizer.decode(row.answer_ids) == calling([CALL]) + "<|im_end|>"


def test_a_template_without_a_place_for_tools_is_refused_by_name(tiny_model: Path) -> None:
    with pytest.raises(ConfigRefused, match=r"base\.model.*no place for tools"):
        render_row(tokenizer_of(tiny_model, TEMPLATE), "Help.", "u", "a", (), TOOLS)


def test_an_example_with_a_call_is_shown_as_a_request_with_one(tiny_model: Path) -> None:
    shot = Example(Request("where?", (), TOOLS), calling([CALL]))
    messages = PromptBuilder("Help.", PromptContext((shot,))).build(Request("and now?", (), TOOLS))
    text = tokenizer_of(tiny_model, QWEN).decode(render_prompt(tokenizer_of(tiny_model, QWEN), messages))
    assert text.count("<tool_call>") == 1
    assert text.count("<tools>") == 1


@pytest.mark.parametrize(
    ("calls", "content"), [([CALL], None), ([CALL, CALL], None), ([CALL], "Let me look."), ([CALL, CALL], "I look.")]
)
def test_calls_written_into_a_row_come_back(calls: list[dict[str, Any]], content: str | None) -> None:
    assert calls_of(calling(calls, content)) == (calls, content or "")
