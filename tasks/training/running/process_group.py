"""The processes that train one adapter together: one a device, all at the same step; with one process every call here
does nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch


class StartAgain(Exception):
    """Raised where one process had to change what all have to agree on: they end, and begin again at the last
    checkpoint.
    """


@dataclass(frozen=True)
class ProcessGroup:
    """This process's place among the processes."""

    rank: int = 0
    size: int = 1
    device: Any = "cpu"

    def added_up(self, value: torch.Tensor) -> torch.Tensor:
        """Return the sum of a tensor over all processes."""
        if self.size > 1:
            value = value.to(self.device)
            torch.distributed.all_reduce(value)
        return value

    def any_of(self, flags: Sequence[bool]) -> list[bool]:
        """Return for each flag whether any process has it up."""
        return list(flags) if self.size == 1 else (self.added_up(torch.tensor(flags, dtype=torch.int32)) > 0).tolist()

    def wait(self) -> None:
        """Return when every process has come here."""
        if self.size > 1:
            torch.distributed.barrier()
