"""chrf: F2 of character n-grams up to 6 (Popovic 2015), by sacrebleu."""

from __future__ import annotations


def chrf(output: str, gold: str) -> float:
    """Return sentence chrF2 from 0 to 1."""
    from sacrebleu import sentence_chrf

    return float(min(sentence_chrf(output, [gold]).score / 100, 1.0))
