"""Base and tuned model in one process on the same benchmark items, in growing portions."""

from __future__ import annotations

import gc
import math
import zlib
from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from schemas.sections.benchmark import ChatTemplate
from tasks.benchmark.neutral import text_losses
from tasks.inference.loading import AdapterFolder, LoadedModel, load_model
from tasks.reuse.progress import Reporter
from tasks.statistics.looks import PORTIONS

if TYPE_CHECKING:
    from tasks.benchmark.harness import Harness, Items


Places = dict[str, list[int]]


def shares_of(method: str) -> tuple[float, ...]:
    """Return after which shares of the items one may look.

    A LoRA adapter is switched off for the base: one model is loaded, and portions alternate at no cost. A QLoRA adapter
    stands on a quantised base and `full` on other weights, so there the base is loaded by itself, in its original
    precision: that is what people would use in place of the adapter. Loading both again for every portion would cost
    more than the items that it may save, so all of them are asked.
    """
    return PORTIONS if method == "lora" else (1.0,)


def portions_of(items: Mapping[str, int], shares: Sequence[float], seed: int) -> list[Places]:
    """Return the items of every portion by task: places from 0, rising; every task grows alike, in a seeded order.

    Args:
        items: number of items by task, each at least 1.
        shares: of each task's items that are asked once the portion is through, rising to 1.
        seed: of the run.
    """
    orders = {
        name: np.random.default_rng([seed, zlib.crc32(name.encode())]).permutation(count)
        for name, count in items.items()
    }
    portions, before = [], dict.fromkeys(items, 0)
    for share in shares:
        until = {name: math.ceil(share * count) for name, count in items.items()}
        portion = {name: sorted(orders[name][before[name] : until[name]].tolist()) for name in items}
        portions.append({name: places for name, places in portion.items() if places})
        before = until
    return portions


@dataclass(frozen=True)
class Questions:
    """What both models are asked, and who hears of it.

    Attributes:
        harness: the loaded tasks.
        portions: items by task.
        chat: which tasks are asked through the chat template.
        reporter: hears of every request.
        texts: neutral texts, which are measured with the first portion.
        losses: of "tuned" and "base" on them, in nats a token, once they are measured.
    """

    harness: Harness
    portions: Sequence[Places]
    chat: ChatTemplate
    reporter: Reporter
    texts: Sequence[str] = ()
    losses: dict[str, list[float]] = field(default_factory=dict)

    def ask(self, one: LoadedModel, which: str, number: int) -> Items:
        """Return a loaded model's accuracy on every item of a portion; the base is asked after the tuned model."""
        sizes = [sum(map(len, places.values())) for places in self.portions]
        start = 2 * sum(sizes[:number]) + (sizes[number] if which == "base" else 0)

        def advance(done: int, total: int) -> None:
            items = sizes[number] * done / total
            note = f"{which} model, {sum(sizes[:number]) + items:.0f} of {sum(sizes)} items"
            self.reporter.advance(start + items, 2 * sum(sizes), note)

        if number == 0 and self.texts:
            self.losses[which] = text_losses(one.model, one.tokenizer, self.texts, self._advance_texts(which, start))
        return self.harness.measure(one.model, one.tokenizer, advance, self.portions[number], self.chat)

    def _advance_texts(self, which: str, start: int) -> Callable[[int, int], None]:
        items = sum(len(own) for places in self.portions for own in places.values())
        return lambda done, total: self.reporter.advance(
            start, 2 * items, f"{which} model, {done} of {total} neutral texts"
        )

    def answers(self, base: Path, adapter: AdapterFolder) -> Generator[tuple[Items, Items]]:
        """Yield, portion by portion, every item's accuracy of the base as it came and of the tuned model."""
        tuned = load_model(base, adapter=adapter)
        self.reporter.say(f"benchmark: {', '.join(self.harness.loaded['tasks'])}; {tuned.reason}")
        if adapter.method != "lora":
            with tuned.lock:
                after = self.ask(tuned, "tuned", 0)
            del tuned
            load_model.cache_clear()
            gc.collect()  # two models at once would double the memory
            plain = load_model(base)
            with plain.lock:
                yield self.ask(plain, "base", 0), after
            return
        for number in range(len(self.portions)):
            with tuned.lock:
                after = self.ask(tuned, "tuned", number)
                with tuned.model.disable_adapter():
                    before = self.ask(tuned, "base", number)
            yield before, after
