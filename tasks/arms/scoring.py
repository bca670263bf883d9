"""One arm on the held-out rows: build the prompts, decode, score, write answers.parquet."""

from __future__ import annotations

import hashlib
import time
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import polars

from schemas.artifacts import AdapterArtifact, ArmArtifact, ModelArtifact
from schemas.champion import ChampionArtifact
from schemas.errors import ConfigRefused, TuneworthyError
from schemas.sections.arms import GRAMMAR
from tasks.answers.contract import JSON_SCHEMA
from tasks.answers.grammar import grammar_of
from tasks.arms.answers import Answers, held_out_rows, requests_in, sealed_answers
from tasks.arms.evidence import evidence_of
from tasks.arms.prompting import context_of
from tasks.arms.settings import ArmSettings
from tasks.inference.batching import common_prefix
from tasks.inference.decoding import generate
from tasks.inference.loading import AdapterFolder, LoadedModel, load_model
from tasks.inference.prefix_support import why_unsupported
from tasks.inference.prompts.encoding import INDEX
from tasks.inference.prompts.golden import verify_golden
from tasks.inference.prompts.prompt_builder import PromptBuilder, PromptContext
from tasks.inference.prompts.rendering import render_prompt
from tasks.inference.prompts.retrieval_file import FILE, deserialised, why_too_large
from tasks.reuse.progress import Reporter

if TYPE_CHECKING:
    from schemas.sections.task import TaskConfig

LOWER = {
    "few_shot": "arms.few_shot.shots or arms.max_new_tokens",
    "retrieval": "arms.retrieval.top_k, arms.retrieval.passage_words, arms.retrieval.shots or arms.max_new_tokens",
    "tuned_retrieval": "arms.retrieval.top_k, arms.retrieval.passage_words or arms.max_new_tokens",
}


def check_base_matches(adapter: AdapterArtifact | ChampionArtifact, base: ModelArtifact) -> None:
    """Refuse an adapter that was fitted on other weights or with another chat template.

    Raises:
        TuneworthyError: it was.
    """
    for what, had, has in (
        ("base model", adapter.base_digest, base.digest),
        ("chat template", adapter.template_digest, base.template_digest),
    ):
        if had != has:
            raise TuneworthyError(
                f"The adapter {adapter.digest[:12]} was fitted with {what} {had[:12]}, not {has[:12]}: its answers "
                "would be meaningless. Train it again on this base."
            )


def measure_arm(
    arm: ArmSettings,
    task: TaskConfig,
    base: Path,
    data: Path,
    adapter: AdapterFolder | None,
    seed: int,
    out: Path,
    reporter: Reporter,
) -> ArmArtifact:
    """Answer every held-out row greedily, score the answers, and write answers.parquet.

    Args:
        arm: what the arm reads of the config.
        task: its instruction, metric and answer contract.
        base: opened base model.
        data: opened data artifact.
        adapter: inside its opened artifact, whose golden rows are rendered again before it answers; None for an
            untrained arm.
        seed: picks the fixed examples.
        out: where answers.parquet goes.
        reporter: receives the progress.

    Raises:
        ConfigRefused: a prompt does not fit the model's context window, or more examples are requested than there are.
        TuneworthyError: a tuned arm has no adapter, or an untrained arm has one; or rows are rendered differently from
            how the adapter learned them.
    """
    if arm.is_tuned != (adapter is not None):
        raise TuneworthyError(f"Arm {arm.name} was called {'without' if arm.is_tuned else 'with'} an adapter.")
    rows = held_out_rows(data, arm.limit)
    context = _carried(arm, adapter) or context_of(arm, data, seed)
    if arm.top_k and (problem := why_too_large(context)):
        reporter.say(f"arm {arm.name}: {problem}: an adapter that wins with retrieval could not be registered")
    builder = PromptBuilder(task.instruction, context)
    requests = requests_in(rows)
    found = [builder.nearest(request) for request in requests]
    corpus = data / "corpus.parquet" if task.answer.format == "text" else None
    evidence = evidence_of(rows["completion"].to_list(), found, context, corpus if corpus and corpus.exists() else None)
    messages = [builder.show(request, places) for request, places in zip(requests, found, strict=True)]
    loaded = load_model(base, adapter=adapter)
    if adapter is not None:
        verify_golden(adapter.artifact, loaded.tokenizer)
    prompts = [render_prompt(loaded.tokenizer, conversation) for conversation in messages]
    check_window(arm, prompts, rows["row_id"].to_list(), loaded)
    reporter.say(
        f"arm {arm.name}: {rows.height} rows, {sum(map(len, prompts)) / rows.height:.0f} tokens per prompt, "
        f"{decoder_in_words(loaded, prompts)}; {loaded.reason}"
    )
    started = time.monotonic()
    grammar = grammar_of(task, data / JSON_SCHEMA) if arm.has_grammar else ""
    answers = generate(loaded, prompts, arm.max_new_tokens, partial(reporter.advance, note="rows"), grammar)
    seconds = (time.monotonic() - started) / rows.height
    used = {
        "prompt_tokens": [len(prompt) for prompt in prompts],
        "output_tokens": [len(answer.ids) for answer in answers],
        "is_stopped": [answer.is_stopped for answer in answers],
    }
    known, texts = polars.DataFrame(used).hstack(evidence), [answer.text for answer in answers]
    return sealed_answers(Answers(arm.name, rows, texts, known, seconds, arm.top_k, context.search), task, data, out)


def _carried(arm: ArmSettings, adapter: AdapterFolder | None) -> PromptContext | None:
    """Return what a champion carries to retrieve from; an adapter that was never registered carries nothing."""
    path = adapter.artifact / FILE if adapter else None
    if path is None or not path.exists():
        return None
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    return replace(deserialised(path.parent, arm.top_k or 0, digest), index=path.parent / INDEX)


def decoder_in_words(loaded: LoadedModel, prompts: list[list[int]]) -> str:
    """Return how the prompts are decoded, and for the slower way why."""
    reason = why_unsupported(loaded)
    if reason is None:
        return f"the first {common_prefix(prompts)} shared by all and read once"
    return f"decoded by transformers' own generate, because {reason}"


def check_window(arm: ArmSettings, prompts: list[list[int]], row_ids: list[int], loaded: LoadedModel) -> None:
    """Refuse an arm whose prompts and answers together exceed the model's context window; nothing is ever cut off.

    Raises:
        ConfigRefused: some do; the message names the arm, the rows, the tokens and what to lower.
    """
    room = loaded.window - arm.max_new_tokens
    too_long = sorted(
        (-len(prompt), row_id) for prompt, row_id in zip(prompts, row_ids, strict=True) if len(prompt) > room
    )
    if too_long:
        lower = LOWER.get(arm.name.removesuffix(GRAMMAR), "arms.max_new_tokens or shorten task.instruction")
        named = ", ".join(str(row_id) for _, row_id in too_long[:3]) + (
            f", +{len(too_long) - 3}" if len(too_long) > 3 else ""
        )
        raise ConfigRefused(
            f"Arm {arm.name} does not fit the model: {len(too_long)} of {len(prompts)} prompts are too long (rows "
            f"{named}). The longest has {-too_long[0][0]} tokens; the model's context window is {loaded.window} "
            f"tokens, of which max_new_tokens reserves {arm.max_new_tokens}. "
            f"Lower {lower}, or leave the arm out."
        )
