from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from lm_eval.models.huggingface import HFLM
from transformers import AutoModelForCausalLM, AutoTokenizer

from tasks.benchmark import scoring
from tasks.benchmark.scoring import TreeLM, takes_trees

# Shared contexts, an empty one, a trailing space, the same request twice, and a continuation that begins another one.
PAIRS = [
    ("which states border texas?", " SELECT border"),
    ("which states border texas?", " SELECT border FROM border_info"),
    ("which states border texas?", " the cat"),
    ("which states border texas? ", "the cat"),
    ("which states border ohio?", " the cat"),
    ("", "the cat sat on the mat"),
    ("", "the cat sat on the dog"),
    ("which states border texas?", " the cat"),
]


def requests(pairs: list[tuple[str, str]]) -> list[Any]:
    return [SimpleNamespace(args=pair, task_name="task") for pair in pairs]


@pytest.fixture
def parts(tiny_model: Path) -> tuple[Any, Any]:
    model = AutoModelForCausalLM.from_pretrained(tiny_model, dtype=torch.float32).eval()
    return model, AutoTokenizer.from_pretrained(tiny_model)


@pytest.mark.parametrize("nodes", [1, 24, 512])
@pytest.mark.parametrize("attention", ["sdpa", "eager"])
def test_likelihoods_from_trees_are_those_of_lm_evals_own_model(
    parts: tuple[Any, Any], nodes: int, attention: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, tokenizer = parts
    model.set_attn_implementation(attention)
    monkeypatch.setattr(scoring, "CPU_NODES", nodes)
    assert takes_trees(model)
    found = TreeLM(model, tokenizer).loglikelihood(requests(PAIRS))
    plain = HFLM(pretrained=model, tokenizer=tokenizer, batch_size=2).loglikelihood(requests(PAIRS), disable_tqdm=True)
    assert [value for value, _ in found] == pytest.approx([value for value, _ in plain], abs=1e-4)
    assert [is_greedy for _, is_greedy in found] == [is_greedy for _, is_greedy in plain]
    assert len({round(value, 3) for value, _ in found}) == len(PAIRS) - 2


def test_the_greedy_continuation_is_told_apart_from_others(parts: tuple[Any, Any]) -> None:
    model, tokenizer = parts
    context = tokenizer("which states border texas?", return_tensors="pt")["input_ids"]
    best = int(model(context).logits[0, -1].argmax())
    lm = TreeLM(model, tokenizer)
    other = (best + 1) % model.config.vocab_size
    answers = lm._loglikelihood_tokens(
        [(("", ""), context[0].tolist(), [best]), (("", ""), context[0].tolist(), [other])]
    )
    assert [is_greedy for _, is_greedy in answers] == [True, False]


def test_a_request_longer_than_the_models_window_is_answered_as_lm_eval_answers_it(parts: tuple[Any, Any]) -> None:
    model, tokenizer = parts
    long = ("the cat sat on the mat, " * 400, " the dog")
    pairs = [PAIRS[0], long, PAIRS[2]]
    found = TreeLM(model, tokenizer).loglikelihood(requests(pairs))
    plain = HFLM(pretrained=model, tokenizer=tokenizer, batch_size=1).loglikelihood(requests(pairs), disable_tqdm=True)
    assert [value for value, _ in found] == pytest.approx([value for value, _ in plain], abs=1e-4)


def test_a_model_with_a_sliding_window_is_not_given_trees(parts: tuple[Any, Any]) -> None:
    from transformers import MistralConfig, MistralForCausalLM

    sizes = {
        "vocab_size": len(parts[1]),
        "hidden_size": 32,
        "intermediate_size": 64,
        "num_hidden_layers": 1,
        "num_attention_heads": 2,
        "num_key_value_heads": 1,
    }
    windowed = MistralForCausalLM(MistralConfig(**sizes, sliding_window=4)).eval()
    assert not takes_trees(windowed)
    assert takes_trees(MistralForCausalLM(MistralConfig(**sizes, sliding_window=None)).eval())
    found = TreeLM(windowed, parts[1]).loglikelihood(requests(PAIRS))
    plain = HFLM(pretrained=windowed, tokenizer=parts[1], batch_size=1).loglikelihood(
        requests(PAIRS), disable_tqdm=True
    )
    assert [value for value, _ in found] == pytest.approx([value for value, _ in plain], abs=1e-4)


@pytest.mark.parametrize("kind", ["gpt2", "qwen3", "gemma3", "mamba"])
def test_models_of_other_families_get_lm_evals_numbers_too(kind: str, parts: tuple[Any, Any]) -> None:
    from transformers import AutoConfig

    small = {
        "vocab_size": len(parts[1]),
        "hidden_size": 32,
        "num_hidden_layers": 2,
        "intermediate_size": 64,
        "num_attention_heads": 2,
        "num_key_value_heads": 1,
        "head_dim": 16,
    }
    shapes = {
        "gpt2": {"vocab_size": len(parts[1]), "n_embd": 32, "n_layer": 2, "n_head": 2},
        "qwen3": small,
        "gemma3": small | {"sliding_window": 4},
        "mamba": {"vocab_size": len(parts[1]), "hidden_size": 32, "num_hidden_layers": 1, "state_size": 4},
    }
    torch.manual_seed(0)
    model = AutoModelForCausalLM.from_config(
        AutoConfig.for_model({"gemma3": "gemma3_text"}.get(kind, kind), initializer_range=0.3, **shapes[kind])
    ).eval()
    found = TreeLM(model, parts[1]).loglikelihood(requests(PAIRS))
    plain = HFLM(pretrained=model, tokenizer=parts[1], batch_size=1).loglikelihood(requests(PAIRS), disable_tqdm=True)
    assert [value for value, _ in found] == pytest.approx([value for value, _ in plain], abs=1e-3)
    assert takes_trees(model) == (kind in ("gpt2", "qwen3"))
