"""What a registered version answers with: the base by its digest, the adapter, the task's instruction, what it
retrieves from, greedy decoding.

This module is copied into the version together with every module of ours that it imports, so a version answers with the
code that it was measured with.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

from schemas.errors import ArtifactBroken, ConfigRefused, ModelMissing
from tasks.inference.decoding import generate
from tasks.inference.loading import AdapterFolder, load_model
from tasks.inference.prompts.encoding import INDEX
from tasks.inference.prompts.golden import golden_tools, verify_golden
from tasks.inference.prompts.prompt_builder import PromptBuilder, PromptContext, Request
from tasks.inference.prompts.rendering import render_prompt
from tasks.inference.prompts.retrieval_file import deserialised
from tasks.registry.version.served_facts import ServedFacts
from tasks.reuse.current_store import current_store


class AdaptedModel:
    """Answers requests as the arm that earned the version its place did."""

    def __init__(self, adapter: Path, facts: ServedFacts) -> None:
        """Load base and adapter.

        Raises:
            ModelMissing: the base is not in this machine's store.
            TuneworthyError: the golden rows are rendered differently here from when they were learned.
            ArtifactBroken: the base's chat template is not the one that the adapter was fitted with, or the file to
                retrieve from was altered.
        """
        self.facts = facts
        self.prompts = PromptBuilder(facts.instruction, _retrieved_from(adapter, facts))
        self.loaded = load_model(find_base(facts), adapter=AdapterFolder(adapter, facts.method))
        verify_golden(adapter, self.loaded.tokenizer)
        self.tools = golden_tools(adapter)
        found = hashlib.sha256(str(self.loaded.tokenizer.chat_template).encode()).hexdigest()
        if found != facts.template_digest:
            wanted = facts.template_digest[:12]
            raise ArtifactBroken(
                f"The base's chat template is {found[:12]}, the adapter was fitted with {wanted}: its answers would "
                "be gibberish."
            )

    def predict(self, requests: Any, params: dict[str, Any] | None = None) -> list[str]:
        """Return the answer to every request: a list of texts, or a frame whose first column holds them.

        `params["history"]` holds the turns before each of these requests: requests and answers alternating, oldest
        first; `params["tools"]` a JSON list of tools, instead of those that all rows had. Threads take turns: they
        share the model, and the retrieval index, which takes one caller at a time too.

        Raises:
            ConfigRefused: the history does not end with an answer.
        """
        history = [str(turn) for turn in (params or {}).get("history") or ()]
        if len(history) % 2:
            raise ConfigRefused(
                f"params.history: has {len(history)} turns; requests and answers have to alternate and end with an "
                'answer, such as ["hi", "hello", "who?", "me"].'
            )
        tools = str((params or {}).get("tools") or "") or self.tools
        with self.loaded.lock:
            conversations = [
                self.prompts.build(Request(request, tuple(history), tools)) for request in _requests(requests)
            ]
            prompts = [render_prompt(self.loaded.tokenizer, conversation) for conversation in conversations]
            limits = self.facts.max_new_tokens, None, self.facts.grammar
            return [answer.text for answer in generate(self.loaded, prompts, *limits)]


def _load_pyfunc(path: str, model_config: dict[str, Any]) -> AdaptedModel:
    """Return the model in a version's folder; MLflow calls this by name."""
    return AdaptedModel(Path(path), ServedFacts(**model_config))


def _requests(given: Any) -> Iterable[str]:
    return [str(request) for request in (given.iloc[:, 0] if hasattr(given, "iloc") and given.ndim == 2 else given)]


def _retrieved_from(adapter: Path, facts: ServedFacts) -> PromptContext:
    if not facts.top_k:
        return PromptContext()
    context = deserialised(adapter, facts.top_k, facts.carried_digest)
    if context.index is None:
        return context
    made = "the config of the run that registered it: its stage index_texts makes the index"
    return replace(context, index=_find(context.index.parent.name, "searches an index", made) / INDEX)


def find_base(served: ServedFacts) -> Path:
    """Return the checked folder of the base in the store that TUNEWORTHY_STORE names, or in .tuneworthy in the working
    folder.

    Raises:
        ModelMissing: it is not there; the message says how to bring it there.
    """
    wanted = f"a config whose base.model is {served.base_name}: its first stage brings the base into the store"
    return _find(served.base_digest, f"needs base {served.base_name}", wanted)


def _find(digest: str, needs: str, config: str) -> Path:
    store = current_store()
    if not store.is_whole(digest):
        raise ModelMissing(
            f"This adapter {needs} with digest {digest[:12]}, which is not in {store.address}. Set TUNEWORTHY_STORE to "
            f"the store of the run that registered it, or run `tuneworthy run` once on this machine with {config}."
        )
    return store.open(digest)
