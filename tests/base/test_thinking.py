"""base.thinking: training rows, arms and served versions render alike, with Qwen3's kind of template and DeepSeek's."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from transformers import AutoTokenizer

from tasks.base.thinking import settled
from tasks.inference.prompts.rendering import render_prompt, render_row, row_messages

# The last answer begins with its trace, earlier ones lose it; the open place is closed where thinking is off.
QWEN3 = (
    "{%- for m in messages %}{%- set content = m.content.split('</think>')[-1].lstrip('\n') %}"
    "{{- '<|im_start|>' + m.role + '\n' }}"
    "{%- if m.role == 'assistant' and loop.last %}{{- '<think>\n' }}{%- if '</think>' in m.content %}"
    "{{- m.content.split('</think>')[0].split('<think>')[-1].strip('\n') }}{%- endif %}{{- '\n</think>\n\n' }}"
    "{%- endif %}{{- content + '<|im_end|>\n' }}{%- endfor %}"
    "{%- if add_generation_prompt %}{{- '<|im_start|>assistant\n' }}"
    "{%- if enable_thinking is defined and enable_thinking is false %}{{- '<think>\n\n</think>\n\n' }}{%- endif %}"
    "{%- endif %}\n"
)
# The open place always begins a trace.
DEEPSEEK = (
    "{% for m in messages %}{{ '<|im_start|>' + m.role + '\n' + m.content.split('</think>')[-1] + '<|im_end|>' }}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n<think>\n' }}{% endif %}"
)
PLAIN = (
    "{% for m in messages %}{{ '<|im_start|>' + m.role + '\n' + m.content + '<|im_end|>\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
THOUGHT = "<think>\nadd them\n</think>\n\n4<|im_end|>"


@pytest.fixture
def rendered(tiny_model: Path) -> Any:
    def render(template: str, thinking: str, trace: str | None) -> tuple[str, str]:
        tokenizer = AutoTokenizer.from_pretrained(tiny_model)
        tokenizer.chat_template = template
        tokenizer.chat_template = settled(tokenizer, thinking)
        row = render_row(tokenizer, "Add.", "two and two?", "4", ("one and one?", "2"), None, trace)
        asked = render_prompt(tokenizer, row_messages("Add.", "two and two?", ("one and one?", "2")))
        assert row.prompt_ids == asked
        return tokenizer.decode(asked).partition("two and two?")[2], tokenizer.decode(row.answer_ids)

    return render


@pytest.mark.parametrize(
    ("template", "thinking", "trace", "opened", "learned"),
    [
        (QWEN3, "off", None, "<think>\n\n</think>\n\n", "4<|im_end|>"),
        (QWEN3, "on", "add them", "", THOUGHT),
        (QWEN3, "keep", "add them", "", THOUGHT),
        (QWEN3, "on", None, "", "4<|im_end|>"),
        (DEEPSEEK, "off", None, "<think>\n\n</think>\n\n", "4<|im_end|>"),
        (DEEPSEEK, "on", "add them", "<think>\n", THOUGHT.removeprefix("<think>\n")),
        (DEEPSEEK, "keep", "add them", "<think>\n", THOUGHT.removeprefix("<think>\n")),
        (DEEPSEEK, "on", None, "<think>\n", "\n</think>\n\n4<|im_end|>"),
        (PLAIN, "off", None, "", "4<|im_end|>"),
        (PLAIN, "on", "add them", "", THOUGHT),
    ],
)
def test_a_row_is_learned_as_the_model_is_asked(
    rendered: Any, template: str, thinking: str, trace: str | None, opened: str, learned: str
) -> None:
    asked, answer = rendered(template, thinking, trace)
    assert asked.endswith(f"<|im_start|>assistant\n{opened}")
    assert answer == learned


def test_a_template_is_left_as_it_is_where_nothing_has_to_be_settled(tiny_model: Path) -> None:
    tokenizer = AutoTokenizer.from_pretrained(tiny_model)
    for template in (PLAIN, QWEN3):
        tokenizer.chat_template = template
        assert settled(tokenizer, "off") == template
