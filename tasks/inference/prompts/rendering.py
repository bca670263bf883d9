"""From messages to token ids with the base's own chat template: the same code for training, arms and benchmark.

Nothing here looks for marker strings of a particular model. What the template puts after an answer is found by
rendering a conversation with and without the answer and comparing the two.
"""

from __future__ import annotations

import json
import re
import unicodedata
import weakref
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from schemas.errors import ConfigRefused, DatasetRefused
from tasks.inference.prompts.tool_calls import CallForm, as_messages, call_form, calls_of

Messages = list[dict[str, Any]]  # the first one may hold the `tools` of the conversation
T = TypeVar("T")

# Some templates print today's date, some open a "thinking" block before the answer. Both are pinned: otherwise
# tomorrow's run would differ from today's, and a training row from the prompt it is meant for. Other templates ignore
# these settings.
PINNED = {"date_string": "01 Jan 2026", "enable_thinking": False}
PROBE = "zqprobe"
OPENED, CLOSED = "<think>", "</think>"
BLOCK_AT_END = re.compile(rf"{OPENED}\s*(?:{CLOSED}\s*)?\Z")
EMPTY_BLOCK = re.compile(rf"\A{OPENED}\s*{CLOSED}\s*")


@dataclass(frozen=True)
class RenderedRow:
    """One training row: `prompt_ids` ends where the model starts to answer, `answer_ids` ends with the stop token."""

    prompt_ids: list[int]
    answer_ids: list[int]


@dataclass(frozen=True)
class TemplateFacts:
    """What a template does: the token that ends an answer, whether it has a place for a system message, and the white
    space that it puts before an answer (Mistral's and Llama 2's), which is learned with it and taken off again.
    """

    stop_id: int
    stop_text: str
    takes_system: bool
    lead: str = ""


_facts: weakref.WeakKeyDictionary[Any, TemplateFacts] = weakref.WeakKeyDictionary()
_forms: weakref.WeakKeyDictionary[Any, CallForm] = weakref.WeakKeyDictionary()


def template_facts(tokenizer: Any) -> TemplateFacts:
    """Return what the tokenizer's chat template does; found once per tokenizer.

    Raises:
        ConfigRefused: there is no chat template, it changes the text before an answer, or it ends an answer without a
            stop token.
    """
    if tokenizer not in _facts:
        if not tokenizer.chat_template:
            raise ConfigRefused(
                "base.model: this model's tokenizer has no chat template. Name an instruction-tuned model (its "
                "tokenizer has one), or set base.chat_template to the file of the template that it is to learn."
            )
        takes_system = _takes_system(tokenizer)
        # Without a system message: Mistral's template puts it into the last message of all, if that is a request.
        asked = [{"role": "user", "content": "u"}]
        before = _rendered(tokenizer, asked, True)
        after = _rendered(tokenizer, [*asked, {"role": "assistant", "content": PROBE}], False)
        lead, _, tail = _after(before, after, PROBE).partition(PROBE)
        stop_id = _first_special(tokenizer, tail)
        stop_text = tokenizer.decode([stop_id])
        _facts[tokenizer] = TemplateFacts(stop_id, stop_text, takes_system, "" if BLOCK_AT_END.search(before) else lead)
    return _facts[tokenizer]


def leading_bos(tokenizer: Any) -> int:
    """Return how many beginning-of-text tokens the base's template starts with: none or one.

    Raises:
        ConfigRefused: it writes several.
    """
    count = leading(render_prompt(tokenizer, row_messages("s", "u")), tokenizer.bos_token_id)
    if count > 1:
        raise ConfigRefused(
            f"base.model: this model's chat template writes its beginning-of-text token {tokenizer.bos_token!r} "
            f"{count} times, but the model was trained with one. Set base.chat_template to a file with a mended "
            "template, or name another base model."
        )
    return count


def leading(ids: list[int], token: int | None) -> int:
    """Return how many of the first ids are this token."""
    return next((place for place, found in enumerate(ids) if found != token), len(ids))


def render_prompt(tokenizer: Any, messages: Messages) -> list[int]:
    """Return the ids of a conversation up to where the model has to answer, with the beginning-of-text token exactly as
    the template has it.

    A system message becomes the head of the first user message where the template has no place for one.
    """
    return _ids(tokenizer, prompt_text(tokenizer, messages))


def render_row(
    tokenizer: Any, instruction: str, prompt: str, completion: str, history: Sequence[str] = (),
    tools: str | None = None, trace: str | None = None,
) -> RenderedRow:  # fmt: skip
    """Return one row as ids: the zero-shot prompt with the turns before it, and the answer with the template's stop
    token; an answer that calls a tool as the template writes calls, and the reasoning before it as its `trace`.

    Raises:
        DatasetRefused: the tokenizer cannot reproduce this answer, so the model could never learn to give it.
        ConfigRefused: the template has no place for tools, and the row has some.
    """
    facts = template_facts(tokenizer)
    messages = row_messages(instruction, prompt, history, tools)
    start = prompt_text(tokenizer, messages)
    prompt_ids = _ids(tokenizer, start)
    if tools is not None and calls_of(completion)[0]:
        called = _folded([*messages, *as_messages([completion], True)], facts.takes_system)
        completion = _after(start, _rendered(tokenizer, called, False)).partition(facts.stop_text)[0]
        completion = completion.removeprefix(facts.lead)
    answer = facts.lead + _with_trace(start, completion, trace) + facts.stop_text
    whole = _ids(tokenizer, start + answer)
    # The prompt is tokenised alone when the model answers; where a token would span prompt and answer, the answer is
    # tokenised alone too.
    answer_ids = whole[len(prompt_ids) :] if whole[: len(prompt_ids)] == prompt_ids else _ids(tokenizer, answer)
    _check_answer(tokenizer, prompt_ids, answer_ids, answer, facts)
    return RenderedRow(prompt_ids, answer_ids)


def row_messages(instruction: str, prompt: str, history: Sequence[str] = (), tools: str | None = None) -> Messages:
    """Return the zero-shot conversation of one row: the instruction as system message, the turns before, the prompt as
    user message.

    `history` holds requests and answers in turn, oldest first; it begins with a request and ends with an answer.
    `tools` is the JSON list of the row's tools; a row with calls alone has an empty one.
    """
    offered = {} if tools is None else {"tools": json.loads(tools)}
    return [{"role": "system", "content": instruction, **offered}, *_in_turn([*history, prompt], tools)]


def example_messages(prompt: str, completion: str, history: Sequence[str] = (), tools: str | None = None) -> Messages:
    """Return a whole row as turns before another request: one few-shot example."""
    return _in_turn([*history, prompt, completion], tools)


def _in_turn(texts: Sequence[str], tools: str | None) -> Messages:
    if tools is not None:
        return as_messages(texts)
    return [{"role": "assistant" if place % 2 else "user", "content": text} for place, text in enumerate(texts)]


def prompt_text(tokenizer: Any, messages: Messages) -> str:
    """Return the rendered text of a conversation up to where the model has to answer.

    Raises:
        ConfigRefused: the template refuses such a conversation.
    """
    from jinja2.exceptions import TemplateError

    try:
        return _rendered(tokenizer, _folded(messages, template_facts(tokenizer).takes_system), True)
    except TemplateError as fault:
        raise ConfigRefused(
            f"base.model: this model's chat template refuses a conversation of {len(messages)} messages ({fault}). "
            "Name another base model, or leave out arms and rows with several turns."
        ) from fault


def _with_trace(start: str, completion: str, trace: str | None) -> str:
    """Return an answer with its trace, or the end of an empty one where the prompt has opened it already."""
    opened = start[start.rindex(OPENED) :] if start.rstrip().endswith(OPENED) else ""
    if trace is None:
        return f"\n{CLOSED}\n\n{completion}" if opened else completion
    return f"{OPENED}\n{trace}\n{CLOSED}\n\n{completion}".removeprefix(opened)


def _check_answer(
    tokenizer: Any, prompt_ids: list[int], answer_ids: list[int], answer: str, facts: TemplateFacts
) -> None:
    written = _text(tokenizer, prompt_ids + answer_ids)[len(_text(tokenizer, prompt_ids)) :]
    # Tokenizers may compose accents (NFC); that is the same text.
    if unicodedata.normalize("NFC", written) != unicodedata.normalize("NFC", answer):
        raise DatasetRefused(
            f"This model's tokenizer cannot reproduce an answer: {_short(answer)} comes back as {_short(written)}. "
            "Leave the row out, or fix its text."
        )
    if answer_ids[-1] != facts.stop_id or facts.stop_id in answer_ids[:-1]:
        raise DatasetRefused(
            f"An answer contains the model's own stop token {facts.stop_text!r}: {_short(answer)}. Remove it from the "
            "row; it is added automatically."
        )


def _takes_system(tokenizer: Any) -> bool:
    return PROBE in _attempted(
        lambda: _rendered(tokenizer, [{"role": "system", "content": PROBE}, {"role": "user", "content": "u"}], True), ""
    )


def _folded(messages: Messages, takes_system: bool) -> Messages:
    if takes_system or messages[0]["role"] != "system":
        return messages
    system, first, *others = messages
    return [{**system, "role": first["role"], "content": f"{system['content']}\n\n{first['content']}"}, *others]


def _after(before: str, after: str, answer: str = "") -> str:
    """Return what follows a prompt in a rendered conversation: `answer` and what ends it. A block of thought, open or
    empty, that stands before the answer in only one of them is no difference: training rows have what the prompt has.
    """
    start = BLOCK_AT_END.sub("", before)
    rest = EMPTY_BLOCK.sub("", after[len(start) :], count=1)
    if not after.startswith(start) or not rest.lstrip().startswith(answer):
        raise ConfigRefused(
            "base.model: this model's chat template renders the text before a given answer differently from the prompt "
            "that the model is to answer, so training rows would not look like its prompts: "
            f"{_short(before[-60:])} became {_short(after[len(before) - 60 :])}. Set base.chat_template to a file with "
            "a template that keeps it, or name another base model."
        )
    return rest


def _first_special(tokenizer: Any, tail: str) -> int:
    special = set(tokenizer.all_special_ids) | set(tokenizer.added_tokens_decoder)
    found = next((token for token in _ids(tokenizer, tail) if token in special), None)
    if found is None:
        raise ConfigRefused(
            f"base.model: this model's chat template ends an answer with {tail!r}, which contains no special token: "
            "a tuned model could not learn when to stop. Set base.chat_template to a file with a template that does, "
            "or name another base model."
        )
    return found


def _rendered(tokenizer: Any, messages: Messages, is_open: bool) -> str:
    tools = messages[0].get("tools")
    if tools is not None:
        if tokenizer not in _forms:
            _forms[tokenizer] = call_form(lambda tried: _worded(tokenizer, tried, False, tried[0]["tools"]))
        messages = _forms[tokenizer](messages)
    return _worded(tokenizer, messages, is_open, tools or None)


def _worded(tokenizer: Any, messages: Messages, is_open: bool, tools: list[Any] | None) -> str:
    return str(
        tokenizer.apply_chat_template(messages, tools=tools, tokenize=False, add_generation_prompt=is_open, **PINNED)
    )


def _ids(tokenizer: Any, text: str) -> list[int]:
    # The template has written every special token already: letting the tokenizer add its own would double them.
    return list(tokenizer(text, add_special_tokens=False)["input_ids"])


def _text(tokenizer: Any, ids: list[int]) -> str:
    return str(tokenizer.decode(ids, skip_special_tokens=False, clean_up_tokenization_spaces=False))


def _attempted(make: Callable[[], T], otherwise: T) -> T:
    from jinja2.exceptions import TemplateError

    try:
        return make()
    except TemplateError:
        return otherwise


def _short(text: str) -> str:
    return repr(text if len(text) <= 80 else f"{text[:40]}…{text[-39:]}")
