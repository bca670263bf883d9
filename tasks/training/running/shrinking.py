"""Out of memory in the middle of training: packs become smaller, the step and its rows stay what they are."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from schemas.errors import MachineLacks
from tasks.training.step.packing import Pack

# How PyTorch's allocators, and the libraries beneath them, say it where they raise no error of its own class.
SIGNS = ("out of memory", "can't allocate memory", "cannot allocate memory", "not enough memory")


def is_out_of_memory(fault: BaseException) -> bool:
    """Tell whether an error means that memory was asked for and not to be had."""
    if isinstance(fault, (MemoryError, torch.OutOfMemoryError)):
        return True
    return isinstance(fault, RuntimeError) and any(sign in str(fault).lower() for sign in SIGNS)


def halved(packs: Sequence[Pack], capacity: int) -> int:
    """Return half of what a pack may hold, or of what the largest of these holds where that is less.

    Raises:
        MachineLacks: each pack holds one row already, and a row is never cut.
    """
    largest = max(packs, key=lambda pack: pack.input_ids.shape[1])
    if all(len(pack.row_ids) == 1 for pack in packs):
        raise MachineLacks(
            f"Memory ran out with a single row in a pass: row {largest.row_ids[0]} of {largest.row_tokens} tokens "
            "does not fit beside the model. A row is "
            'never cut. Free memory and run again, or set training.method "qlora", lower training.rank, or take the '
            "long rows out."
        )
    return max(1, min(capacity, int(largest.input_ids.shape[1])) // 2)
