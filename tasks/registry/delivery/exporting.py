"""A version written for another runtime, checked there, and only then put in place."""

from __future__ import annotations

import json
import shutil
from dataclasses import asdict
from pathlib import Path
from typing import Any

from schemas.errors import AdapterRefused, ConfigRefused
from tasks.inference.loading import AdapterFolder, load_model
from tasks.inference.prompts.golden import GOLDEN
from tasks.inference.prompts.retrieval_file import FILE
from tasks.inference.quietness import quietly
from tasks.registry.delivery.checking import Checked, compared
from tasks.registry.serving.serving_version import FetchedVersion
from tasks.registry.version.served import find_base

OURS = (GOLDEN, FILE)  # files of a version that another runtime has no use for
README = """# {name}, version {version}

{what}

- Base model: {base_name} (digest {base_digest}), trained by {method}.
- Answer greedily (temperature 0), with at most {max_new_tokens} new tokens.
- Send this instruction as the system message; the adapter was tuned under it:

```
{instruction}
```

## Checked

{checked}

## Serve it

```
{command}
```
"""
MERGED = "Base and adapter merged into one model in bf16; it needs nothing else."
GRAMMAR = " It was measured with a grammar, which no file here holds: give the runtime the answer's contract as well."
ADAPTER = "The adapter alone, in peft's format; it needs the base model."


def export(fetched: FetchedVersion, form: str, folder: Path, tolerance: float) -> Checked:
    """Write a version into `folder` and return how it answers there.

    Args:
        fetched: the version.
        form: adapter, merged or vllm (an adapter for LoRA, else merged, with the command that serves it).
        folder: must not exist, or be empty.
        tolerance: how far the probabilities of tokens may move from the version's own, in nats a token. Answers that
            differ are told, but do not decide: where two tokens are nearly equal, rounding alone changes an answer.

    Raises:
        ConfigRefused: the folder holds something, or the version cannot be written in this form.
        AdapterRefused: they moved further; nothing is left behind.
    """
    _refuse_unfit(fetched, form, folder)
    is_adapter = form == "adapter" or (form == "vllm" and fetched.facts.method == "lora")
    partial = folder.with_name(f".{folder.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    try:
        with quietly():
            (_write_adapter if is_adapter else _write_merged)(fetched, partial)
            checked = compared(fetched, partial, is_adapter)
        if checked.divergence > tolerance:
            other = " A QLoRA adapter fits the base as it was quantised: export it --as merged." if is_adapter else ""
            raise AdapterRefused(
                f"{checked.in_words}; {tolerance:g} is allowed (--tolerance). Nothing was written to {folder}.{other}"
            )
        (partial / "README.md").write_text(_readme(fetched, is_adapter, checked), encoding="utf-8")
        (partial / "delivery.json").write_text(json.dumps(asdict(checked), indent=1) + "\n", encoding="utf-8")
        if folder.exists():
            folder.rmdir()
        partial.rename(folder)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return checked


def _refuse_unfit(fetched: FetchedVersion, form: str, folder: Path) -> None:
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise ConfigRefused(f"{folder} holds something already. Name a folder that is not there yet, or is empty.")
    if form == "adapter" and fetched.facts.method == "full":
        raise ConfigRefused("--as adapter: this version was trained in full and has no adapter. Use --as merged.")
    if fetched.facts.top_k:
        raise ConfigRefused(
            f"{fetched.name} retrieves {fetched.facts.top_k} entries for each request, which no other runtime here "
            "does. Serve it with `tuneworthy serve`, or register the adapter without retrieval (arms.trained: [tuned])."
        )


def _write_adapter(fetched: FetchedVersion, folder: Path) -> None:
    shutil.copytree(fetched.adapter, folder, ignore=lambda _, names: set(names) & set(OURS), dirs_exist_ok=True)


def _write_merged(fetched: FetchedVersion, folder: Path) -> None:
    """Merge in fp32, so that rounding happens once, then write in bf16."""
    import torch

    facts = fetched.facts
    loaded = load_model(find_base(facts), adapter=AdapterFolder(fetched.adapter, facts.method), dtype=torch.float32)
    model: Any = loaded.model if facts.method == "full" else loaded.model.merge_and_unload(safe_merge=True)
    load_model.cache_clear()  # the merged weights are no longer what the cache promises
    model.generation_config = _greedy(loaded.stop_ids, facts.max_new_tokens)
    model.to(torch.bfloat16).save_pretrained(str(folder), safe_serialization=True)
    loaded.tokenizer.save_pretrained(str(folder))


def _greedy(stop_ids: frozenset[int], max_new_tokens: int) -> Any:
    from transformers import GenerationConfig

    ends = sorted(stop_ids)
    return GenerationConfig(do_sample=False, max_new_tokens=max_new_tokens, eos_token_id=ends, pad_token_id=ends[0])


def _readme(fetched: FetchedVersion, is_adapter: bool, checked: Checked) -> str:
    model, facts = fetched.name.model, fetched.facts
    command = f"vllm serve . --served-model-name {model} --dtype bfloat16"
    if is_adapter:
        rank = json.loads((fetched.adapter / "adapter_config.json").read_text(encoding="utf-8"))["r"]
        command = f"vllm serve BASE --enable-lora --max-lora-rank {max(rank, 8)} --lora-modules {model}=."
    about = {"name": model, "version": fetched.version, "command": command}
    about["what"] = (ADAPTER if is_adapter else MERGED) + (GRAMMAR if facts.grammar else "")
    return README.format(checked=checked.in_words, **about, **asdict(facts))
