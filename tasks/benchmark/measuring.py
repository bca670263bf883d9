"""Base and tuned model, one after the other in one process, on the same benchmark items."""

from __future__ import annotations

import gc
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from tasks.inference.loading import AdapterFolder, load_model
from tasks.reuse.progress import Reporter

if TYPE_CHECKING:
    from tasks.benchmark.harness import Harness, Items


def measure_both(harness: Harness, base: Path, adapter: Path, method: str, reporter: Reporter) -> tuple[Items, Items]:
    """Return every item's accuracy of the base as it came, and of the tuned model as it was trained.

    A LoRA adapter is switched off for the base: one model is loaded. A QLoRA adapter stands on a quantised base and
    `full` on other weights, so there the base is loaded by itself, in its original precision: that is what people would
    use in place of the adapter.
    """
    tuned = load_model(base, adapter=AdapterFolder(adapter, method))
    reporter.say(f"benchmark: {', '.join(harness.loaded['tasks'])}; {tuned.reason}")
    with tuned.lock:
        after = harness.measure(tuned.model, tuned.tokenizer, _progress(reporter, "tuned", 1))
        if method == "lora":
            with tuned.model.disable_adapter():
                return harness.measure(tuned.model, tuned.tokenizer, _progress(reporter, "base", 2)), after
    del tuned
    load_model.cache_clear()
    gc.collect()  # two models at once would double the memory
    plain = load_model(base)
    with plain.lock:
        return harness.measure(plain.model, plain.tokenizer, _progress(reporter, "base", 2)), after


def _progress(reporter: Reporter, which: str, turn: int) -> Callable[[int, int], None]:
    return lambda done, total: reporter.advance(
        (turn - 1) * total + done, 2 * total, f"{which} model, {done} of {total} requests"
    )
