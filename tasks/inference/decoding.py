"""Greedy decoding of many prompts."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch

from schemas.errors import MachineLacks
from tasks.inference.batching import batches, chunks, common_prefix, memory_budget, row_token_bytes
from tasks.inference.grammar import Follower, MaskedLogits, followers
from tasks.inference.loading import LoadedModel
from tasks.inference.prefix import PrefixReader, SharedMemory, reading
from tasks.inference.prefix_support import why_unsupported
from tasks.reuse.memory import hand_back, is_out_of_memory

Progress = Callable[[int, int], None]
Finish = Callable[[int, list[int]], None]
PLAIN_ROWS = 32


@dataclass(frozen=True)
class Generated:
    """One answer: its ids without the stop token, its text, and whether the model ended it with a stop token."""

    ids: list[int]
    text: str
    is_stopped: bool


def generate(
    loaded: LoadedModel,
    prompts: list[list[int]],
    max_new_tokens: int,
    on_progress: Progress | None = None,
    grammar: str = "",
) -> list[Generated]:
    """Return the greedy answer to every prompt, in their order.

    The prompts' common prefix is read once; finished rows leave their batch. A model whose attention cannot
    be shared in this way is answered by transformers' own `generate` (`tasks.inference.prefix_support` tells why).
    Threads that share a model take turns.

    Args:
        loaded: the model.
        prompts: token ids, from the beginning of the text to where the answer starts; none is empty.
        max_new_tokens: an answer is cut here if the model does not end it.
        on_progress: called with (rows done, rows) whenever a row is finished.
        grammar: that every answer follows (tasks.answers.grammar); empty for none.
    """
    answers: dict[int, Generated] = {}

    def finish(row: int, ids: list[int]) -> None:
        answers[row] = _finished(loaded, ids)
        if on_progress is not None:
            on_progress(len(answers), len(prompts))

    if prompts:
        with loaded.lock:
            answer = by_shared_prefix if why_unsupported(loaded) is None else by_transformers
            answer(loaded, prompts, max_new_tokens, finish, grammar)
    return [answers[row] for row in range(len(prompts))]


def by_shared_prefix(
    loaded: LoadedModel, prompts: list[list[int]], max_new_tokens: int, finish: Finish, grammar: str = ""
) -> None:
    """Read the common prefix once, then the prompts batch by batch; `finish` gets each row's new ids."""
    shared = common_prefix(prompts)
    own = [prompt[shared:] for prompt in prompts]
    per_token = row_token_bytes(loaded.model.config.get_text_config(), loaded.dtype)
    memory = SharedMemory()
    reader = PrefixReader(loaded.model, loaded.device, memory)
    with reading(loaded.model, memory):
        reader.read_prefix(prompts[0][:shared])
        for batch in batches([len(ids) for ids in own], max_new_tokens, per_token, memory_budget(loaded.device)):
            within_memory(
                batch,
                lambda rows: _answer_batch(
                    reader,
                    {row: own[row] for row in rows},
                    max_new_tokens,
                    loaded.stop_ids,
                    finish,
                    followers(loaded, grammar, len(rows)) if grammar else [],
                ),
            )


def within_memory(rows: list[int], answer: Callable[[list[int]], None]) -> None:
    """Answer rows together; where memory runs out, one half after the other, from their first token.

    Raises:
        MachineLacks: not even one row fits.
    """
    try:
        answer(rows)
        return
    except (MemoryError, RuntimeError) as fault:
        if not is_out_of_memory(fault):
            raise
        if len(rows) == 1:
            raise MachineLacks(
                "Out of memory with a single prompt: it does not fit beside the model. Free memory, or lower "
                "arms.max_new_tokens, arms.few_shot.shots or arms.retrieval.top_k."
            ) from fault
    # Behind the except block: the error's frames hold what was computed.
    hand_back()
    for half in (rows[: len(rows) // 2], rows[len(rows) // 2 :]):
        within_memory(half, answer)


def _answer_batch(
    reader: PrefixReader,
    prompts: dict[int, list[int]],
    max_new_tokens: int,
    stop_ids: frozenset[int],
    finish: Finish,
    followed: list[Follower],
) -> None:
    """Answer one batch; `prompts` has the longest first, and `followed` what chooses each row's tokens, if anything."""
    rows, own = list(prompts), list(prompts.values())
    reader.memory.open_batch(len(rows), len(own[0]) + max_new_tokens, reader.device)
    for part in chunks([len(ids) for ids in own]):
        reader.read_rows(part, own[part])
    made: list[list[int]] = [[] for _ in rows]
    last = [ids[-1] for ids in own]
    while rows:
        logits = reader.step(last).float()  # argmax of bf16 takes seven times as long on a CPU
        last = logits.argmax(-1).tolist()
        last = [one.choose(last[place], logits[place]) for place, one in enumerate(followed)] or last
        for ids, token in zip(made, last, strict=True):
            ids.append(token)
        for place in reversed(range(len(rows))):  # from the end: the row that moves here was looked at already
            if last[place] in stop_ids or len(made[place]) == max_new_tokens:
                finish(rows[place], made[place])
                reader.memory.remove(place)
                for column in (rows, made, last, *([followed] if followed else [])):
                    _drop(column, place)


def _drop(column: list[Any], place: int) -> None:
    """Move the last entry to another's place, as the cache does with its rows."""
    column[place] = column[-1]
    column.pop()


def by_transformers(
    loaded: LoadedModel, prompts: list[list[int]], max_new_tokens: int, finish: Finish, grammar: str = ""
) -> None:
    """Answer with transformers' own `generate`: slower, but it supports every architecture."""
    order = sorted(range(len(prompts)), key=lambda row: -len(prompts[row]))

    def answer(rows: list[int]) -> None:
        made = _searched(loaded, [prompts[row] for row in rows], max_new_tokens, grammar)
        for row, ids in zip(rows, made, strict=True):
            finish(row, ids)

    for start in range(0, len(order), PLAIN_ROWS):
        within_memory(order[start : start + PLAIN_ROWS], answer)


def _finished(loaded: LoadedModel, ids: list[int]) -> Generated:
    """Return an answer from its decoded ids, which may continue after the stop token."""
    end = next((place for place, token in enumerate(ids) if token in loaded.stop_ids), None)
    kept = ids if end is None else ids[:end]
    return Generated(kept, loaded.text(kept), end is not None)


def _searched(loaded: LoadedModel, prompts: list[list[int]], max_new_tokens: int, grammar: str) -> list[list[int]]:
    from transformers import GenerationConfig, LogitsProcessorList

    width = max(map(len, prompts))
    filler = min(loaded.stop_ids)
    ids = torch.tensor([[filler] * (width - len(prompt)) + prompt for prompt in prompts], device=loaded.device)
    mask = torch.tensor([[0] * (width - len(prompt)) + [1] * len(prompt) for prompt in prompts], device=loaded.device)
    settings: Any = GenerationConfig(
        do_sample=False, max_new_tokens=max_new_tokens, eos_token_id=sorted(loaded.stop_ids), pad_token_id=filler
    )
    # Otherwise the model's own generation settings (temperature, repetition penalty) would fill in what these leave
    # out.
    loaded.model.generation_config = settings
    masks = [MaskedLogits(followers(loaded, grammar, len(prompts)), loaded.stop_ids)] if grammar else []
    with torch.inference_mode():
        made = loaded.model.generate(
            input_ids=ids, attention_mask=mask, generation_config=settings, logits_processor=LogitsProcessorList(masks)
        )
    return [row[width:] for row in made.tolist()]
