"""Loss on neutral text, in nats a token: a sharper sense than right and wrong, since every token of every text counts,
and not only whether a better choice overtook the right one.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from schemas.errors import ConfigRefused
from schemas.findings.loss import NeutralLoss
from tasks.intervals import differences_of, interval_of
from tasks.neutral import read_texts
from tasks.reuse.sources import source_file

if TYPE_CHECKING:
    from schemas.sources import SourceFile
    from tasks.reuse.store import ArtifactStore

SMALLEST = 1e-6  # nats; below it lies rounding


def locate_neutral(setting: str | None, folders: Sequence[Path], store: ArtifactStore) -> SourceFile | None:
    """Return the file of neutral texts by content, from the first of these folders that has it; None for none.

    Raises:
        ConfigRefused: there is no such file, or its texts cannot be used.
    """
    if setting is None:
        return None
    found = next((folder / setting for folder in folders if (folder / setting).is_file()), None)
    if found is None:
        places = " or ".join(str(folder.absolute()) for folder in folders)
        raise ConfigRefused(
            f"benchmark.neutral: no file {setting!r} in {places}. Name a file of JSON lines with a `text`, leave the "
            "setting out to use the shipped texts, or set it to null to measure none."
        )
    read_texts(found)
    return source_file(found, store)


def text_losses(model: Any, tokenizer: Any, texts: Sequence[str], advance: Callable[[int, int], None]) -> list[float]:
    """Return the mean negative log-likelihood of each text's tokens, in nats.

    A text is tokenised as the tokenizer does it by itself, with a beginning-of-text token where it adds one. The first
    token is given and not predicted. A text that is longer than the model's window is measured up to it.

    Args:
        model: a causal model in memory, its adapter on or off.
        tokenizer: the model's.
        texts: each of at least two tokens.
        advance: is called with how many texts are done, and their number.
    """
    from tasks.benchmark.harness import quiet
    from tasks.benchmark.scoring import TreeLM

    with quiet():
        lm = TreeLM(model, tokenizer, advance)
        ids = [tokenizer(text)["input_ids"][: lm.max_length] for text in texts]
        asked = [(("", text), one[:1], one[1:]) for text, one in zip(texts, ids, strict=True)]
        found = lm._loglikelihood_tokens(asked)
    return [-likelihood / (len(one) - 1) for (likelihood, _), one in zip(found, ids, strict=True)]


def compare_losses(base: Sequence[float], tuned: Sequence[float], *, margin: float, confidence: float) -> NeutralLoss:
    """Return how much worse the tuned model predicts the texts, with the interval of the paired difference.

    Every text is its own cluster: each was written by itself, and two of a kind share no sentence. Kinds are no
    clusters, as they are not drawn from more kinds: the mean is over these. A loss has no upper limit, so the interval
    allows an unseen text twice the largest difference that was seen.
    """
    widest = float(np.abs(np.subtract(tuned, base)).max())
    sample = differences_of(base, tuned, limit=max(2 * widest, SMALLEST))
    interval = interval_of(sample, confidence)
    return NeutralLoss(
        texts=len(base),
        base=float(np.mean(base)),
        tuned=float(np.mean(tuned)),
        difference=interval.mean,
        low=interval.low,
        high=interval.high,
        margin=margin,
        standing="lost" if interval.low > margin else "kept" if interval.high <= margin else "inconclusive",
    )
