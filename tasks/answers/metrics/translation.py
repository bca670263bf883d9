"""bleu: precision of word n-grams up to 4 with a penalty for brevity (Papineni et al. 2002); chrf: F2 of character
n-grams up to 6 (Popovic 2015). Both by sacrebleu, of one answer at a time: an arm's score is the mean over rows, not
that of the whole corpus.
"""

from __future__ import annotations


def bleu(output: str, gold: str) -> float:
    """Return sentence BLEU from 0 to 1: smoothed, with the orders that so short a text has."""
    from sacrebleu import sentence_bleu

    return float(min(sentence_bleu(output, [gold], use_effective_order=True).score / 100, 1.0))


def chrf(output: str, gold: str) -> float:
    """Return sentence chrF2 from 0 to 1."""
    from sacrebleu import sentence_chrf

    return float(min(sentence_chrf(output, [gold]).score / 100, 1.0))
