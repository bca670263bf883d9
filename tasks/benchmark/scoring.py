"""lm-eval's Hugging Face model, with the log-likelihoods of many continuations from one pass over a tree of tokens."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import torch
from lm_eval.models.huggingface import HFLM

from tasks.benchmark.trie import Tree, plant_trees
from tasks.inference.prompts.rendering import PINNED

# One row's attention is nodes x nodes: measured on a CPU, 192 to 384 nodes are best and 1024 cost a tenth (fp32) to a
# half (bf16) more.
CPU_NODES = 256
ACCELERATOR_NODES = 2048

Request = tuple[tuple[str, str], list[int], list[int]]
Likelihood = tuple[float, bool]


def takes_trees(model: Any) -> bool:
    """Tell whether a model takes a row's own positions and mask: full attention only, by a mask that is added."""
    config = model.config.get_text_config()
    kinds = set(getattr(config, "layer_types", None) or ["full_attention"])
    forward = inspect.signature(
        (model.get_base_model() if hasattr(model, "get_base_model") else model).forward
    ).parameters
    attention = getattr(config, "_attn_implementation", None)
    has_window = (
        bool(getattr(config, "sliding_window", None))
        and getattr(config, "use_sliding_window", True)
        and "layer_types" not in config.to_dict()
    )
    return (
        kinds == {"full_attention"}
        and not has_window
        and attention in ("sdpa", "eager")
        and {"position_ids", "logits_to_keep"} <= set(forward)
    )


class TreeLM(HFLM):
    """HFLM on a model in memory: the same numbers, with every common beginning computed once.

    A model that cannot be given trees (sliding windows, recurrent layers) and a request longer than the model's window
    take HFLM's own way.
    """

    def __init__(
        self, model: Any, tokenizer: Any, advance: Callable[[int, int], None] = lambda done, total: None
    ) -> None:
        """Wrap a model; `advance` is called with how many of the requests at hand are done, and their total."""
        super().__init__(pretrained=model, tokenizer=tokenizer, batch_size=8)
        self.chat_template_args = PINNED  # as arms and served versions render
        self._takes_trees = takes_trees(model)
        self._advance = advance

    def loglikelihood(self, requests: list[Any], disable_tqdm: bool = True) -> list[Likelihood]:
        """Return (log-likelihood, is it the greedy continuation) of each (context, continuation)."""
        return list(super().loglikelihood(requests, disable_tqdm=True))

    def loglikelihood_rolling(self, requests: list[Any], disable_tqdm: bool = True) -> list[float]:
        """Return the log-likelihood of each whole text."""
        return list(super().loglikelihood_rolling(requests, disable_tqdm=True))

    def generate_until(self, requests: list[Any], disable_tqdm: bool = True) -> list[str]:
        """Return the greedy continuation of each context."""
        return list(super().generate_until(requests, disable_tqdm=True))

    def _loglikelihood_tokens(
        self, requests: list[Request], disable_tqdm: bool = True, override_bs: int | None = None
    ) -> list[Likelihood]:
        fits = [
            self._takes_trees and len(context) + len(continuation) <= self.max_length
            for _, context, continuation in requests
        ]
        others = [request for request, fit in zip(requests, fits, strict=True) if not fit]
        plain = iter(
            super()._loglikelihood_tokens(others, disable_tqdm=True, override_bs=override_bs) if others else []
        )
        treed = iter(self._from_trees([request for request, fit in zip(requests, fits, strict=True) if fit]))
        return [next(treed) if fit else next(plain) for fit in fits]

    def _from_trees(self, requests: list[Request]) -> list[Likelihood]:
        # The last token is only predicted, never read.
        sequences = [(context + continuation)[:-1] for _, context, continuation in requests]
        answers: dict[int, Likelihood] = {}
        for tree in plant_trees(sequences, CPU_NODES if self.device.type == "cpu" else ACCELERATOR_NODES):
            wanted = {number: requests[number][2] for number, _ in tree.paths}
            answers |= tree_likelihoods(self.model, tree, wanted, self.device)
            self._advance(len(answers), len(requests))
        return [answers[number] for number in range(len(requests))]


@torch.inference_mode()
def tree_likelihoods(model: Any, tree: Tree, continuations: dict[int, list[int]], device: Any) -> dict[int, Likelihood]:
    """Return the log-likelihood of every sequence's continuation in a tree, and whether greedy decoding would give it.

    Args:
        model: a causal model; `takes_trees` holds for it.
        tree: the sequences without their last tokens.
        continuations: by the number of the sequence, the tokens at its end whose likelihood is asked for.
        device: where the model lives.
    """
    asked = {number: path[-len(continuations[number]) :] for number, path in tree.paths}
    kept = sorted({int(node) for nodes in asked.values() for node in nodes})
    place = {node: row for row, node in enumerate(kept)}
    sees = torch.from_numpy(tree.sees).to(device)
    mask = torch.zeros(sees.shape, dtype=model.dtype, device=device).masked_fill_(~sees, torch.finfo(model.dtype).min)
    logits = model(
        input_ids=torch.from_numpy(tree.tokens)[None].to(device),
        position_ids=torch.from_numpy(tree.depths)[None].to(device),
        attention_mask=mask[None, None],
        logits_to_keep=torch.tensor(kept, device=device),
        use_cache=False,
    ).logits[0]
    greedy = logits.argmax(-1).cpu()
    logs = logits.float().log_softmax(-1)
    answers = {}
    for number, nodes in asked.items():
        rows, targets = torch.tensor([place[int(node)] for node in nodes]), torch.tensor(continuations[number])
        answers[number] = (
            float(logs[rows.to(device), targets.to(device)].sum()),
            bool((greedy[rows] == targets).all()),
        )
    return answers
