"""bleu: precision of word n-grams up to 4 with a penalty for brevity (Papineni et al. 2002), by sacrebleu."""

from __future__ import annotations


def bleu(output: str, gold: str) -> float:
    """Return sentence BLEU from 0 to 1: smoothed, with the orders that so short a text has; an arm's score is the mean
    over rows, not BLEU of the whole corpus.
    """
    from sacrebleu import sentence_bleu

    return float(min(sentence_bleu(output, [gold], use_effective_order=True).score / 100, 1.0))
