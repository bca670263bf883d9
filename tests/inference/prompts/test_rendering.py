"""Messages become ids through the base's own chat template, in one way for training and for answering."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import AutoTokenizer

from schemas.errors import ConfigRefused, DatasetRefused
from tasks.inference.prompts.rendering import render_prompt, render_row, row_messages, template_facts

CHATML = "{% for m in messages %}{{ '<|im_start|>' + m.role + '\n' + m.content + '<|im_end|>\n' }}{% endfor %}"
OPEN = "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
NO_SYSTEM = (
    "{% if messages[0].role == 'system' %}{{ raise_exception('System role not supported') }}{% endif %}" + CHATML + OPEN
)
IGNORES_SYSTEM = (
    "{% for m in messages if m.role != 'system' %}{{ '<|im_start|>' + m.role + '\n' + m.content + '<|im_end|>\n' "
    "}}{% endfor %}" + OPEN
)
# As Qwen3's: an answer begins with a closed block of thought, the open place has it only when thinking is off.
THINKING = (
    "{% for m in messages %}{{ '<|im_start|>' + m.role + '\n' }}{% if m.role == 'assistant' %}{{ "
    "'<think>\n\n</think>\n\n' }}{% endif %}"
    "{{ m.content + '<|im_end|>\n' }}{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}"
    "{% if enable_thinking is defined and enable_thinking is false %}{{ '<think>\n\n</think>\n\n' }}{% endif %}{% "
    "endif %}"
)
DATED = (
    "{% if not date_string is defined %}{% set date_string = strftime_now('%d %b %Y') %}{% endif %}{{ 'Today: ' + "
    "date_string }}" + CHATML + OPEN
)

# As Mistral's and Llama 2's: an answer, but not the open place for it, begins with a space.
SPACED = (
    "{% for m in messages %}{{ '<|im_start|>' + m.content + '<|im_end|>' if m.role != 'assistant' else ' ' + m.content "
    "+ '<|im_end|>' }}{% endfor %}"
)

Make = Callable[..., Any]


@pytest.fixture(scope="module")
def make(tiny_model: Path) -> Make:
    def tokenizer(template: str | None = CHATML + OPEN) -> Any:
        made = AutoTokenizer.from_pretrained(tiny_model)
        made.chat_template = template
        return made

    return tokenizer


@pytest.mark.parametrize("history", [[], ["which is the largest?", "alaska"]])
@pytest.mark.parametrize("template", [CHATML + OPEN, NO_SYSTEM, IGNORES_SYSTEM, THINKING, DATED, SPACED])
def test_a_training_rows_prompt_is_the_prompt_that_the_model_is_asked_with(
    make: Make, template: str, history: list[str]
) -> None:
    tokenizer = make(template)
    row = render_row(tokenizer, "Be brief.", "which states border texas?", "SELECT 1;", history)
    assert row.prompt_ids == render_prompt(tokenizer, row_messages("Be brief.", "which states border texas?", history))
    assert all(turn in tokenizer.decode(row.prompt_ids) for turn in history)
    assert tokenizer.decode(row.answer_ids).removeprefix(template_facts(tokenizer).lead) == "SELECT 1;<|im_end|>"
    assert "Be brief." in tokenizer.decode(row.prompt_ids)


def test_a_template_that_refuses_several_turns_is_said_in_words(make: Make) -> None:
    tokenizer = make("{% if messages|length > 3 %}{{ raise_exception('one turn only') }}{% endif %}" + CHATML + OPEN)
    with pytest.raises(ConfigRefused, match=r"refuses a conversation of 4 messages \(one turn only\)"):
        render_row(tokenizer, "a", "b", "c", ["d", "e"])


@settings(max_examples=60, deadline=None)
@given(
    completion=st.text(min_size=1, max_size=40).filter(lambda text: text.isprintable() or "\n" in text),
    prompt=st.text(max_size=20),
)
def test_the_answers_ids_are_the_answer_and_one_stop_token_for_any_text(
    make: Make, completion: str, prompt: str
) -> None:
    tokenizer = make()
    row = render_row(tokenizer, "Be brief.", prompt, completion)
    assert tokenizer.decode(row.answer_ids[:-1]) == completion
    assert row.answer_ids.count(template_facts(tokenizer).stop_id) == 1


def test_the_beginning_of_text_is_written_as_often_as_the_template_writes_it(make: Make) -> None:
    from tokenizers.processors import TemplateProcessing

    tokenizer = make("{{ bos_token }}" + CHATML + OPEN)
    tokenizer.backend_tokenizer.post_processor = TemplateProcessing(
        single="<|endoftext|> $A", special_tokens=[("<|endoftext|>", 0)]
    )
    tokenizer.bos_token = "<|endoftext|>"
    assert tokenizer("hi")["input_ids"][0] == 0  # this tokenizer adds its own
    assert render_prompt(tokenizer, row_messages("a", "b")).count(0) == 1
    assert render_row(tokenizer, "a", "b", "c").prompt_ids.count(0) == 1


def test_an_instruction_goes_before_the_first_request_where_the_template_has_no_system_message(make: Make) -> None:
    shots = [{"role": "user", "content": "q"}, {"role": "assistant", "content": "a"}]
    tokenizer = make(NO_SYSTEM)
    text = tokenizer.decode(
        render_prompt(tokenizer, [{"role": "system", "content": "Be brief."}, *shots, {"role": "user", "content": "r"}])
    )
    assert text.startswith("<|im_start|>user\nBe brief.\n\nq<|im_end|>")
    assert text.count("Be brief.") == 1


def test_a_template_that_writes_the_date_writes_the_same_one_every_day(make: Make) -> None:
    tokenizer = make(DATED)
    assert "Today: 01 Jan 2026" in tokenizer.decode(render_prompt(tokenizer, row_messages("a", "b")))


def test_a_template_that_opens_an_answer_otherwise_than_it_writes_one_is_refused(make: Make) -> None:
    with pytest.raises(ConfigRefused, match="renders the text before a given answer differently"):
        render_row(
            make(CHATML + "{% if add_generation_prompt %}{{ '<|im_start|>assistant\nSEL' }}{% endif %}"), "a", "b", "c"
        )


def test_an_answer_whose_first_letters_would_melt_with_the_prompts_last_ones_is_tokenised_alone(make: Make) -> None:
    said = "{% for m in messages %}{{ '<|im_start|>' + m.role + ' bor' + m.content + '<|im_end|>' }}{% endfor %}"
    said += "{% if add_generation_prompt %}{{ '<|im_start|>assistant bor' }}{% endif %}"
    tokenizer = make(said)
    row = render_row(tokenizer, "a", "b", "der 1")
    assert tokenizer(" border")["input_ids"] != tokenizer(" bor")["input_ids"] + tokenizer("der")["input_ids"]
    assert row.prompt_ids == render_prompt(tokenizer, row_messages("a", "b"))
    assert tokenizer.decode(row.answer_ids) == "der 1<|im_end|>"


@pytest.mark.parametrize(
    ("template", "message"),
    [
        (None, "has no chat template"),
        (
            "{% for m in messages %}{{ m.role + ': ' + m.content + '\n' }}{% endfor %}{% if add_generation_prompt "
            "%}{{ 'assistant: ' }}{% endif %}",
            "contains no special token",
        ),
    ],
)
def test_a_base_that_could_not_learn_when_to_stop_is_refused(make: Make, template: str | None, message: str) -> None:
    with pytest.raises(ConfigRefused, match=message):
        template_facts(make(template))


def test_an_answer_that_holds_the_stop_token_is_refused(make: Make) -> None:
    with pytest.raises(DatasetRefused, match=r"own stop token '<\|im_end\|>'"):
        render_row(make(), "a", "b", "one<|im_end|>two")


def test_an_answer_that_the_tokenizer_cannot_write_back_is_refused(make: Make) -> None:
    from tokenizers.normalizers import Lowercase

    tokenizer = make()
    tokenizer.backend_tokenizer.normalizer = Lowercase()
    with pytest.raises(DatasetRefused, match=r"cannot reproduce an answer: 'SELECT.*comes back as 'select"):
        render_row(tokenizer, "a", "b", "SELECT")


@pytest.mark.model
def test_the_real_models_answers_end_with_its_end_of_turn(smollm2: Path) -> None:
    tokenizer = AutoTokenizer.from_pretrained(smollm2)
    row = render_row(tokenizer, "Be brief.", "hi", "Hello — you!")
    assert (
        tokenizer.decode(row.prompt_ids)
        == "<|im_start|>system\nBe brief.<|im_end|>\n<|im_start|>user\nhi<|im_end|>\n<|im_start|>assistant\n"
    )
    assert tokenizer.decode(row.answer_ids) == "Hello — you!<|im_end|>"


def test_the_space_that_a_template_puts_before_an_answer_is_learned_with_it(make: Make) -> None:
    row = render_row(make(SPACED), "Be brief.", "which states border texas?", "SELECT 1;", ["and maine?", "one"])
    text = make(SPACED).decode(row.prompt_ids + row.answer_ids)
    assert text == (
        "<|im_start|>Be brief.<|im_end|><|im_start|>and maine?<|im_end|> one<|im_end|>"
        "<|im_start|>which states border texas?<|im_end|> SELECT 1;<|im_end|>"
    )
    assert make(SPACED).decode(row.answer_ids) == " SELECT 1;<|im_end|>"
