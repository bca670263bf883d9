"""Numbers of the draft: how long answers and rows are, and how many rows are held out.

Tokens are estimated from bytes, as the base model's tokenizer need not be on this machine; `validate` counts them once
the base is in the store.
"""

from __future__ import annotations

import statistics
from collections.abc import Sequence

from tasks.data.drafting.guesses import Guess, Notes
from tasks.data.layouts.conversations import Turns

PROSE, DENSE = 3, 2  # bytes a token: text in Latin letters (about 4 in fact), and code, labels or other scripts
LETTERS = 0.9  # share of letters and spaces from which a text is prose; digits and signs are a token each
MARGIN = 1.25  # answers that a model makes may be longer than those in the rows
STEP = 16
TEMPLATE = 48  # tokens of a chat template around a row
MAX_LENGTH, WIDEST = 1024, 8192  # the setting's default, and the context of the base for trying out
SHOWN = 3000  # tokens that the examples of an arm may take
SHOTS, TOP_K = 8, 4
MEASURED = 1000  # held-out rows beyond which an interval gets little narrower


def token_estimate(text: str, is_prose: bool) -> int:
    """Return about how many tokens a text has, rather too many than too few."""
    size = len(text.encode(errors="replace"))
    letters = sum(map(str.isalpha, text)) + sum(map(str.isspace, text))
    return size // (PROSE if is_prose and letters >= LETTERS * len(text) and size < 1.2 * len(text) else DENSE) + 1


def guess_lengths(rows: Sequence[Turns], instruction: str, is_prose: bool, notes: Notes) -> list[Guess]:
    """Return the settings that stand on lengths: max_new_tokens, max_length, shots, top_k."""
    answers = sorted(token_estimate(row.completion or "", is_prose) for row in rows)
    longest = answers[int(0.995 * (len(answers) - 1))]
    new = min(WIDEST, max(STEP, -(-int(longest * MARGIN) // STEP) * STEP))
    whole = [_row_tokens(row, is_prose) for row in rows]
    why = f"all but one answer in 200 have at most about {longest:,} tokens, the longest about {answers[-1]:,}"
    limit = Guess("arms.max_new_tokens", new, why, "A longer answer is cut off and wrong; a lower limit saves seconds.")
    return [*_shown(int(statistics.median(whole))), limit, *_max_length(max(whole), instruction, notes)]


def _row_tokens(row: Turns, is_prose: bool) -> int:
    texts = [row.prompt or "", *(turn or "" for turn in row.history)]
    return sum(token_estimate(text, True) for text in texts) + token_estimate(row.completion or "", is_prose)


def _shown(median: int) -> list[Guess]:
    shots = max(1, min(SHOTS, SHOWN // median))
    top_k = min(TOP_K, shots)
    effect = "More examples cost their tokens in every request."
    why = f"an example takes about {median:,} tokens"
    return [Guess("arms.few_shot", {"shots": shots}, why, effect), Guess("arms.retrieval", {"top_k": top_k}, why)]


def _max_length(longest: int, instruction: str, notes: Notes) -> list[Guess]:
    needed = longest + token_estimate(instruction, True) + TEMPLATE
    length = min(WIDEST, max(MAX_LENGTH, -(-needed // 256) * 256))
    if needed > WIDEST:
        notes.remarks.append(
            f"the longest row has about {needed:,} tokens; a row of more than training.max_length is refused, never cut"
        )
    why = f"the longest row has about {needed:,} tokens with the instruction"
    effect = "A row with more is refused by name, never cut; more takes more memory."
    return [Guess("training.max_length", length, why, effect)]


def guess_share(rows: int, groups: int | None) -> Guess:
    """Return which share of the groups is held out: enough to measure with, not more than is needed."""
    share = 0.3 if rows < 200 else 0.2 if rows <= 5 * MEASURED else max(0.05, round(MEASURED / rows, 2))
    held = max(1, round(share * rows))
    what = "rows" if groups is None else f"rows, in {max(1, round(share * groups)):,} groups"
    why = f"about {held:,} {what}; a score of 0.5 is known to ±{min(0.5, 0.98 / held**0.5):.2f} at 95% confidence"
    return Guess("data.held_out", share, why, "More rows held out narrow the intervals and leave fewer to train on.")


def guess_training(rows: int) -> list[Guess]:
    """Return how long to train on this many rows."""
    epochs, step = (3, 1024) if rows < 2000 else (2, 2048) if rows < 20_000 else (1, 4096)
    rate = "A small model wants more than the default of 2e-4; a large one less."
    shorter = "Half of it means twice the steps: learns more from few rows, at more time."
    return [
        Guess("training.method", "qlora", effect="4-bit base, smallest memory."),
        Guess("training.rank", 16, effect="Of the adapter: higher learns more and forgets more, at more memory."),
        Guess("training.learning_rate", 0.001, effect=rate),
        Guess("training.epochs", epochs, f"{rows:,} rows", "Passes over the train rows."),
        Guess("training.tokens_per_step", step, effect=shorter),
    ]
