"""Our greedy decoder against transformers' own, and against itself in other batches."""

from __future__ import annotations

import dataclasses
import random
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import (
    Gemma2Config,
    Gemma2ForCausalLM,
    GPT2Config,
    GPT2LMHeadModel,
    MistralConfig,
    MistralForCausalLM,
    PreTrainedModel,
    Qwen2Config,
    Qwen2ForCausalLM,
)

from schemas.errors import MachineLacks
from tasks.inference import batching, decoding
from tasks.inference.decoding import Generated, by_shared_prefix, by_transformers, generate
from tasks.inference.loading import LoadedModel, load_model
from tasks.inference.prefix import by_hand
from tasks.inference.prefix_support import why_unsupported
from tasks.inference.prompts.rendering import _facts as template_facts_of
from tasks.inference.prompts.rendering import render_prompt, row_messages

SIZES = {
    "vocab_size": 384,
    "hidden_size": 48,
    "intermediate_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 6,
    "num_key_value_heads": 2,
    "head_dim": 8,
}


@pytest.fixture(scope="module")
def tiny(tiny_model: Path) -> LoadedModel:
    return load_model(tiny_model, dtype=torch.float32)


@pytest.fixture(scope="module")
def stopping(tiny: LoadedModel) -> LoadedModel:
    """The tiny model with stop tokens that it often gives, so that rows finish at different steps."""
    return dataclasses.replace(tiny, stop_ids=frozenset(range(0, 384, 12)))


def prompts_of(rows: int, shared: int, seed: int = 0) -> list[list[int]]:
    chance = random.Random(seed)
    start = [chance.randrange(384) for _ in range(shared)]
    return [[*start, *(chance.randrange(384) for _ in range(chance.randrange(1, 30)))] for _ in range(rows)]


def ids_of(answers: list[Generated]) -> list[list[int]]:
    return [answer.ids for answer in answers]


def told_by(decoder: object, loaded: LoadedModel, prompts: list[list[int]], tokens: int) -> dict[int, list[int]]:
    answers: dict[int, list[int]] = {}

    def tell(row: int, ids: list[int]) -> None:
        end = next((place for place, token in enumerate(ids) if token in loaded.stop_ids), len(ids))
        answers[row] = ids[:end]

    decoder(loaded, prompts, tokens, tell)  # type: ignore[operator]
    return answers


@pytest.mark.parametrize("shared", [0, 1, 40])
def test_answers_are_those_of_transformers_with_and_without_a_common_prefix(stopping: LoadedModel, shared: int) -> None:
    prompts = prompts_of(14, shared)
    ours, theirs = told_by(by_shared_prefix, stopping, prompts, 20), told_by(by_transformers, stopping, prompts, 20)
    assert ours == theirs
    assert len({len(ids) for ids in ours.values()}) > 3  # rows left the batch at different steps
    assert why_unsupported(stopping) is None


@pytest.mark.slow
@settings(max_examples=15, deadline=None)
@given(rows=st.integers(1, 9), shared=st.integers(0, 12), seed=st.integers(0, 99), tokens=st.integers(1, 9))
def test_a_row_is_answered_the_same_alone_as_in_any_batch(
    stopping: LoadedModel, rows: int, shared: int, seed: int, tokens: int
) -> None:
    prompts = prompts_of(rows, shared, seed)
    together = generate(stopping, prompts, tokens)
    assert ids_of(together) == [generate(stopping, [prompt], tokens)[0].ids for prompt in prompts]
    assert together == generate(stopping, prompts[::-1], tokens)[::-1]


def test_many_small_batches_and_chunks_give_the_answers_of_one(
    stopping: LoadedModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    prompts = prompts_of(11, 8)
    whole = generate(stopping, prompts, 12)
    monkeypatch.setattr(batching, "MOST_ROWS", 3)
    monkeypatch.setattr(decoding, "chunks", lambda lengths: batching.chunks(lengths, 20))
    assert generate(stopping, prompts, 12) == whole


def test_one_prompt_that_all_rows_share_wholly_is_answered(tiny: LoadedModel) -> None:
    prompt = prompts_of(1, 5)[0]
    one, other = generate(tiny, [prompt, prompt], 6)
    assert one == other
    assert {0: one.ids, 1: other.ids} == told_by(by_transformers, tiny, [prompt, prompt], 6)


def test_an_answer_ends_before_the_stop_token_and_says_whether_there_was_one(stopping: LoadedModel) -> None:
    answers = generate(stopping, prompts_of(14, 4), 8)
    assert {answer.is_stopped for answer in answers} == {True, False}
    assert all(len(answer.ids) == 8 for answer in answers if not answer.is_stopped)
    assert not any(set(answer.ids) & stopping.stop_ids for answer in answers)
    assert all(answer.text == stopping.tokenizer.decode(answer.ids, skip_special_tokens=True) for answer in answers)


def test_progress_is_told_once_for_every_row(stopping: LoadedModel) -> None:
    heard: list[tuple[int, int]] = []
    generate(stopping, prompts_of(5, 4), 6, lambda done, total: heard.append((done, total)))
    assert heard == [(done, 5) for done in range(1, 6)]
    assert generate(stopping, [], 6) == []


def test_a_models_own_sampling_settings_and_penalties_do_not_move_its_answers(tiny_model: Path) -> None:
    from transformers import GenerationConfig

    prompts, loaded = prompts_of(4, 6), load_model.__wrapped__(tiny_model, dtype=torch.float32)
    loaded.model.generation_config = GenerationConfig(do_sample=True, temperature=2.0, repetition_penalty=3.0)
    assert told_by(by_transformers, loaded, prompts, 8) == told_by(by_shared_prefix, loaded, prompts, 8)


def test_the_model_attends_as_before_once_the_answers_are_there(tiny: LoadedModel) -> None:
    before = tiny.model.config._attn_implementation
    with pytest.raises(RuntimeError, match="heard enough"):
        generate(tiny, prompts_of(3, 3), 4, lambda done, total: (_ for _ in ()).throw(RuntimeError("heard enough")))
    assert tiny.model.config._attn_implementation == before
    assert not torch.is_inference_mode_enabled()


def test_answers_that_are_asked_for_while_others_are_decoded_are_those_of_one_after_the_other(
    tiny: LoadedModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    short, long = prompts_of(2, 6, seed=1), prompts_of(2, 6, seed=2)
    alone = [ids_of(generate(tiny, prompts, tokens)) for prompts, tokens in ((short, 8), (long, 160))]
    has_begun = threading.Event()
    forward = tiny.model.forward

    def told(*given: object, **named: object) -> object:
        has_begun.set()
        return forward(*given, **named)

    monkeypatch.setattr(tiny.model, "forward", told)
    with ThreadPoolExecutor() as threads:
        first = threads.submit(generate, tiny, short, 8)
        assert has_begun.wait(60)
        second = threads.submit(generate, tiny, long, 160)  # begins while the first is decoded, and ends after it
        together = [ids_of(first.result(60)), ids_of(second.result(60))]
    assert together == alone


def like(tiny: LoadedModel, model: PreTrainedModel) -> LoadedModel:
    torch.manual_seed(3)
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.2)
    return dataclasses.replace(tiny, model=model.eval().requires_grad_(False))


def test_other_architectures_are_answered_as_transformers_answers_them(tiny: LoadedModel) -> None:
    prompts = prompts_of(6, 20)
    for model in (
        Qwen2ForCausalLM(Qwen2Config(**SIZES)),
        GPT2LMHeadModel(GPT2Config(vocab_size=384, n_embd=48, n_layer=2, n_head=6)),
    ):
        loaded = like(tiny, model)
        assert why_unsupported(loaded) is None
        assert told_by(by_shared_prefix, loaded, prompts, 10) == told_by(by_transformers, loaded, prompts, 10)


@pytest.mark.parametrize(
    ("model", "reason"),
    [
        (lambda: MistralForCausalLM(MistralConfig(**SIZES, sliding_window=8)), "the last 8 tokens"),
        (lambda: Gemma2ForCausalLM(Gemma2Config(**SIZES, layer_types=["full_attention"] * 2)), "softcap"),
        (lambda: Gemma2ForCausalLM(Gemma2Config(**SIZES, sliding_window=8)), "sliding_attention"),
    ],
)
def test_a_model_whose_attention_cannot_be_shared_is_answered_by_transformers(
    tiny: LoadedModel, model: object, reason: str
) -> None:
    loaded, prompts = like(tiny, model()), prompts_of(5, 20)  # type: ignore[operator]
    assert reason in str(why_unsupported(loaded))
    assert ids_of(generate(loaded, prompts, 6)) == [
        ids for _, ids in sorted(told_by(by_transformers, loaded, prompts, 6).items())
    ]


def test_a_model_that_reads_its_memory_wrongly_is_found_out(tiny: LoadedModel, monkeypatch: pytest.MonkeyPatch) -> None:
    from tasks.inference.prefix import SharedMemory

    loaded = like(tiny, Qwen2ForCausalLM(Qwen2Config(**SIZES)))
    monkeypatch.setattr(SharedMemory, "_with_prefix", lambda self, layer, query, own, weight, scale: own)
    assert "its logits would change" in str(why_unsupported(loaded))


def test_attention_by_plain_products_is_that_of_the_cpu_kernel() -> None:
    torch.manual_seed(0)
    query, keys, values = torch.randn(2, 3, 4, 8), torch.randn(2, 3, 9, 8), torch.randn(2, 3, 9, 8)
    mask = torch.zeros(2, 1, 1, 9).masked_fill(
        torch.arange(9) > torch.tensor([4, 8])[:, None, None, None], float("-inf")
    )
    result, weight = by_hand(query, keys, values, mask, 0.3)
    true, true_weight = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu(
        query, keys, values, attn_mask=mask, scale=0.3
    )
    torch.testing.assert_close(result, true)
    torch.testing.assert_close(weight, true_weight)


def test_answers_are_the_same_without_the_cpu_kernel(stopping: LoadedModel, monkeypatch: pytest.MonkeyPatch) -> None:
    from tasks.inference import prefix

    prompts = prompts_of(7, 9)
    with_kernel = generate(stopping, prompts, 10)
    monkeypatch.setattr(prefix, "has_kernel", lambda query: False)
    assert generate(stopping, prompts, 10) == with_kernel


@pytest.mark.model
@pytest.mark.slow
def test_the_real_model_answers_few_shot_prompts_as_transformers_does(smollm2: Path) -> None:
    loaded = load_model(smollm2, dtype=torch.float32)
    shots = [
        message
        for state in ("texas", "ohio", "iowa")
        for message in (
            *row_messages("", f"capital of {state}?")[1:],
            {"role": "assistant", "content": f"city of {state}"},
        )
    ]
    requests = ["capital of utah?", "how many rivers are there in the state of maine?", "the largest city of nevada?"]
    prompts = [
        render_prompt(
            loaded.tokenizer,
            [{"role": "system", "content": "Answer briefly."}, *shots, {"role": "user", "content": request}],
        )
        for request in requests
    ]
    assert why_unsupported(loaded) is None
    assert told_by(by_shared_prefix, loaded, prompts, 16) == told_by(by_transformers, loaded, prompts, 16)


@pytest.mark.parametrize("decoder", [by_shared_prefix, by_transformers])
def test_a_batch_that_does_not_fit_into_memory_is_answered_in_halves(
    tiny: LoadedModel, monkeypatch: pytest.MonkeyPatch, decoder: object
) -> None:
    prompts = prompts_of(9, 6)
    expected, forward, refused = told_by(decoder, tiny, prompts, 5), tiny.model.forward, []

    def small(*args: object, **kwargs: object) -> object:
        if kwargs["input_ids"].shape[0] > 3:  # type: ignore[attr-defined]
            refused.append(True)
            raise torch.OutOfMemoryError("CUDA out of memory")
        return forward(*args, **kwargs)

    monkeypatch.setattr(tiny.model, "forward", small)
    assert told_by(decoder, tiny, prompts, 5) == expected and refused


def test_a_single_prompt_that_does_not_fit_is_refused_with_what_to_lower(
    tiny: LoadedModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object, **__: object) -> object:
        raise torch.OutOfMemoryError("CUDA out of memory")

    why_unsupported(tiny)
    monkeypatch.setattr(tiny.model, "forward", full)
    with pytest.raises(MachineLacks, match=r"single prompt.*max_new_tokens"):
        generate(tiny, [[5]], 5)


def test_an_answer_loses_the_space_that_its_template_puts_before_it(tiny_model: Path) -> None:
    loaded = load_model.__wrapped__(tiny_model, dtype=torch.float32)
    ids = loaded.tokenizer(" texas")["input_ids"]
    assert loaded.text(ids) == " texas"
    again = load_model.__wrapped__(tiny_model, dtype=torch.float32)
    again.tokenizer.chat_template = (
        "{% for m in messages %}{{ (' ' if m.role == 'assistant' else '') + m.content + '<|im_end|>' }}{% endfor %}"
    )
    template_facts_of.pop(again.tokenizer, None)
    assert again.text(ids) == "texas"
