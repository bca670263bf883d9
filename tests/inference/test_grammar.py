"""Answers of a model that knows nothing, held to a grammar, meet the contract that they are scored by."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from pydantic import TypeAdapter

from schemas.errors import ConfigRefused
from schemas.sections.task import Answer, TaskConfig
from tasks.answers.contract import JSON_SCHEMA, contract_of
from tasks.answers.grammar import grammar_of
from tasks.inference import decoding
from tasks.inference.continuous import Engine
from tasks.inference.decoding import generate
from tasks.inference.grammar import Follower
from tasks.inference.loading import LoadedModel, load_model
from tasks.inference.prompts.rendering import render_prompt, row_messages
from tests.inference.test_continuous import Client

SCHEMA = {
    "type": "object",
    "properties": {
        "queue": {"enum": ["bench", "gate"]},
        "order": {"type": ["string", "null"], "pattern": "^[0-9]{5}$"},
        "tags": {"type": "array", "items": {"enum": ["a", "b"]}, "maxItems": 2},
    },
    "required": ["queue", "order", "tags"],
    "additionalProperties": False,
}
ANSWERS = [
    {"format": "json", "json_schema": "s.json"},
    {"format": "choice", "labels": ["Billing", "Billing question", "hält/an", "a|b"]},
    {"format": "text", "pattern": r"^[A-Z]{2}-\d{3}( (yes|no))?$"},
]


@pytest.fixture(scope="module")
def tiny(tiny_model: Path) -> LoadedModel:
    return load_model(tiny_model, dtype=torch.float32)


def task_of(answer: dict[str, Any]) -> TaskConfig:
    return TaskConfig(instruction="Answer.", answer=TypeAdapter(Answer).validate_python(answer))


def prompts(tiny: LoadedModel) -> list[list[int]]:
    texts = ["what", "which states border texas", "my printer does not print", "the dog did not", "7"]
    return [render_prompt(tiny.tokenizer, row_messages("Answer.", text)) for text in texts]


@pytest.mark.parametrize("is_shared", [True, False])
@pytest.mark.parametrize("answer", ANSWERS, ids=["json", "choice", "pattern"])
def test_every_answer_that_ends_meets_the_contract(
    tiny: LoadedModel, answer: dict[str, Any], is_shared: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not is_shared:
        monkeypatch.setattr(decoding, "why_unsupported", lambda loaded: "a test says so")
    (tmp_path / JSON_SCHEMA).write_text(json.dumps(SCHEMA), encoding="utf-8")
    check = contract_of(task_of(answer), tmp_path)
    grammar = grammar_of(task_of(answer), tmp_path / JSON_SCHEMA)
    answers = generate(tiny, prompts(tiny), 200, grammar=grammar)
    assert all(one.is_stopped for one in answers)
    assert [check(one.text) for one in answers] == [None] * len(answers)
    assert all(check(one.text) is not None for one in generate(tiny, prompts(tiny), 200))


def test_a_served_answer_is_the_measured_one(tiny: LoadedModel, tmp_path: Path) -> None:
    grammar = grammar_of(task_of(ANSWERS[1]), tmp_path)
    measured = [one.ids for one in generate(tiny, prompts(tiny), 60, grammar=grammar)]
    engine = Engine(tiny, prompts(tiny)[0][:3], 2, 200, grammar)
    clients = [Client(prompt, 60) for prompt in prompts(tiny)]
    for client in clients:
        engine.submit(client.job)
    assert [[token.id for token in client.tokens()] for client in clients] == measured
    engine.close()


def test_a_mask_at_every_step_gives_the_same_answers(
    tiny: LoadedModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = grammar_of(task_of({"format": "text", "pattern": r"(?s:.*)"}), tmp_path)
    seldom = generate(tiny, prompts(tiny), 20, grammar=text)
    choose = Follower.choose
    never_allowed = tiny.tokenizer.convert_tokens_to_ids("<|im_start|>")
    monkeypatch.setattr(Follower, "choose", lambda self, token, logits: choose(self, never_allowed, logits))
    assert generate(tiny, prompts(tiny), 20, grammar=text) == seldom


@pytest.mark.parametrize(
    ("answer", "schema", "said"),
    [
        ({"format": "text", "pattern": "(?=a)b"}, {}, "task.answer.pattern: no grammar"),
        ({"format": "json", "json_schema": "s.json"}, {"type": "array", "uniqueItems": True}, "uniqueItems"),
        ({"format": "text"}, {}, "text has no grammar"),
        ({"format": "sql", "database": "d.sqlite"}, {}, "sql has no grammar"),
    ],
)
def test_a_contract_that_no_grammar_can_keep_is_refused(
    answer: dict[str, Any], schema: dict[str, Any], said: str, tmp_path: Path
) -> None:
    (tmp_path / JSON_SCHEMA).write_text(json.dumps(schema), encoding="utf-8")
    with pytest.raises(ConfigRefused, match=said):
        grammar_of(task_of(answer), tmp_path / JSON_SCHEMA)
