"""A template that asks for the time says the same on every day; what an earlier release left is told how to mend."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from transformers import AutoTokenizer

from schemas.config import BaseConfig
from schemas.errors import TuneworthyError
from tasks.base.sources import locate_base
from tasks.base.task import fetch_base
from tasks.inference.prompts.clock import has_clock, with_fixed_clock
from tasks.inference.prompts.golden import GoldenRow, seal_golden, verify_golden
from tasks.inference.prompts.rendering import prompt_text, row_messages
from tasks.reuse.store import ArtifactStore
from tests.tiny_model import TEMPLATE

CLOCKED = "{{ 'Today: ' + strftime_now('%d %b %Y, %A') + '\n' }}" + TEMPLATE


def test_a_clock_stands_still_in_every_way_of_writing_a_date(tiny_model: Path) -> None:
    tokenizer = AutoTokenizer.from_pretrained(tiny_model)
    for asked, told in {
        "'%Y-%m-%d'": "2026-01-01",
        "'%-d %B %y %H:%M:%S%p'": "1 January 26 00:00:00AM",
        "'100%%'": "100%",
        "'today'": "today",
    }.items():
        tokenizer.chat_template = with_fixed_clock("  {% if true %}{{ strftime_now(" + asked + ") }}{% endif %}")
        assert tokenizer.apply_chat_template([{"role": "user", "content": "u"}], tokenize=False) == told


def test_a_template_without_a_clock_is_left_as_it_is() -> None:
    assert with_fixed_clock(TEMPLATE) == TEMPLATE
    assert not has_clock(with_fixed_clock(CLOCKED))
    assert with_fixed_clock(with_fixed_clock(CLOCKED)) == with_fixed_clock(CLOCKED)


def test_a_sealed_base_renders_the_same_on_every_day(tiny_model: Path, tmp_path: Path, store: ArtifactStore) -> None:
    model = Path(shutil.copytree(tiny_model, tmp_path / "model"))
    (model / "chat_template.jinja").write_text(CLOCKED)
    sealed = store.open(fetch_base(locate_base(BaseConfig(model=str(model)), model, store)).digest)
    rendered = prompt_text(AutoTokenizer.from_pretrained(sealed), row_messages("s", "u"))
    assert rendered.startswith("Today: 01 Jan 2026, Thursday\n<|im_start|>system\ns")


def test_rows_that_another_day_was_sealed_with_say_how_they_are_mended(tiny_model: Path, tmp_path: Path) -> None:
    tokenizer = AutoTokenizer.from_pretrained(tiny_model)
    tokenizer.chat_template = CLOCKED.replace("strftime_now('%d %b %Y, %A')", "'24 Nov 2025, Monday'")
    seal_golden([GoldenRow("train", 1, "a", "b")], "s", tokenizer, tmp_path)
    tokenizer.chat_template = CLOCKED
    with pytest.raises(TuneworthyError, match=r"(?s)prints the time \(strftime_now\).*Run the config again"):
        verify_golden(tmp_path, tokenizer)


def test_golden_rows_that_differ_say_which_token_moved(tiny_model: Path, tmp_path: Path) -> None:
    tokenizer = AutoTokenizer.from_pretrained(tiny_model)
    seal_golden([GoldenRow("train", 1, "a", "b")], "s", tokenizer, tmp_path)
    tokenizer.chat_template = "x" + TEMPLATE
    first = tokenizer.convert_tokens_to_ids("<|im_start|>")
    with pytest.raises(TuneworthyError, match=rf"moved, number 1: {first} \('<\|im_start\|>'\) became \d+ \('x'\)"):
        verify_golden(tmp_path, tokenizer)
