"""What an exported model answers in transformers, beside what the version itself answers."""

from __future__ import annotations

import json
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tasks.inference.decoding import Generated, by_transformers, generate
from tasks.inference.loading import LoadedModel, plain_model
from tasks.inference.prompts.golden import GOLDEN
from tasks.registry.serving.serving_version import FetchedVersion
from tasks.registry.version.served import AdaptedModel, find_base


@dataclass(frozen=True)
class Checked:
    """How an exported model answers the golden rows in another runtime: answers that differ from the version's own,
    and how far the probabilities of its tokens moved, in nats a token.
    """

    runtime: str
    rows: int
    flips: int
    divergence: float

    @property
    def in_words(self) -> str:
        """One sentence."""
        return (
            f"{self.flips} of {self.rows} golden rows are answered differently in {self.runtime}; the probabilities "
            f"of tokens moved by {self.divergence:.4f} nats a token (Kullback-Leibler divergence)"
        )


def compared(fetched: FetchedVersion, folder: Path, is_adapter: bool) -> Checked:
    """Return how the exported model in `folder` answers, loaded and decoded by transformers and peft alone."""
    import transformers

    rows = json.loads((fetched.adapter / GOLDEN).read_text(encoding="utf-8"))["rows"]
    prompts = [row["prompt_ids"] for row in rows]
    own = AdaptedModel(fetched.adapter, fetched.facts).loaded
    expected = generate(own, prompts, fetched.facts.max_new_tokens)
    before = _logprobs(own.model, prompts, expected)
    exported = _exported(fetched, folder, is_adapter, own)
    found: dict[int, list[int]] = {}
    by_transformers(exported, prompts, fetched.facts.max_new_tokens, lambda row, ids: found.update({row: ids}))
    flips = sum(_until_stop(found[row], own.stop_ids) != answer.ids for row, answer in enumerate(expected))
    after = _logprobs(exported.model, prompts, expected)
    moved = [(one.exp() * (one - other)).sum(-1) for one, other in zip(before, after, strict=True)]
    tokens = sum(len(part) for part in moved)
    divergence = sum(float(part.sum()) for part in moved) / max(1, tokens)
    return Checked(f"transformers {transformers.__version__}", len(rows), flips, max(0.0, divergence))


def _exported(fetched: FetchedVersion, folder: Path, is_adapter: bool, own: LoadedModel) -> LoadedModel:
    import torch
    from transformers import AutoTokenizer

    place = find_base(fetched.facts) if is_adapter else folder
    model = plain_model(place, torch.bfloat16)
    if is_adapter:
        from peft import PeftModel

        model = PeftModel.from_pretrained(model, str(folder), local_files_only=True).eval()
    tokenizer = AutoTokenizer.from_pretrained(str(place), trust_remote_code=False, local_files_only=True)
    return LoadedModel(model, tokenizer, torch.bfloat16, "as exported", own.stop_ids, threading.RLock())


def _until_stop(ids: list[int], stops: frozenset[int]) -> list[int]:
    return ids[: next((place for place, token in enumerate(ids) if token in stops), len(ids))]


def _logprobs(model: Any, prompts: list[list[int]], answers: list[Generated]) -> list[Any]:
    """Return for each row the log-probabilities (tokens of the answer, vocabulary) along the version's own answer."""
    import torch

    device, made = next(model.parameters()).device, []
    with torch.inference_mode():
        for prompt, answer in zip(prompts, answers, strict=True):
            ids = torch.tensor([[*prompt, *answer.ids]], device=device)
            logits = model(input_ids=ids, use_cache=False).logits[0, len(prompt) - 1 :]
            made.append(torch.log_softmax(logits.float(), -1).cpu())
    return made
