"""Steps that learn from wanted and rejected answers, on the same packs as any other.

The loss depends on the log-probabilities of whole answers (tasks/training/step/objectives.py). They are computed first,
without gradients; the gradient of the loss by each of them is then the weight of that answer's cross entropy in an
ordinary pass. What an answer's log-probability was before the first step is kept in a file, so that a resumed fit has
the same reference.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from tasks.training.rows import TokenRow
from tasks.training.step.loss import pack_logps, pack_loss
from tasks.training.step.objectives import OBJECTIVES, Answered
from tasks.training.step.packing import Pack

if TYPE_CHECKING:
    from schemas.sections.training import TrainingConfig

REFERENCE = "reference.json"
Place = tuple[int, str]


KINDS = ("wanted", "rejected", "mismatched")


class Preferences:
    """The objective of a fit, and its reference."""

    def __init__(self, objective: str, beta: float, folder: Path) -> None:
        self.loss, self.beta, self.path = OBJECTIVES[objective], beta, folder / REFERENCE
        self.started: dict[Place, float] = {}

    @classmethod
    def of(cls, training: TrainingConfig, folder: Path) -> Preferences | None:
        """Return those of a fit in `folder`; None where answers are learned one by one."""
        return cls(training.objective, training.beta, folder) if training.objective in OBJECTIVES else None

    def start(self, model: Any, passes: Any, rows: Sequence[TokenRow]) -> None:
        """Measure the reference before the first step, or read it."""
        if self.started:
            return
        if not self.path.exists():
            model.eval()
            logps = self._logps(model, passes, passes.train_dataset.packs_of(rows), rows)
            model.train()
            if passes.args.should_save:
                known = [[*_place(row), logp] for row, logp in zip(rows, logps.tolist(), strict=True)]
                aside = self.path.with_suffix(".aside")
                aside.write_text(json.dumps(known), encoding="utf-8")
                aside.replace(self.path)
            passes.accelerator.wait_for_everyone()
        self.started = {
            (row_id, kind): logp for row_id, kind, logp in json.loads(self.path.read_text(encoding="utf-8"))
        }

    def step(self, model: Any, passes: Any, packs: Sequence[Pack], rows: Sequence[TokenRow]) -> torch.Tensor:
        """Compute the gradients of a step, and return its loss."""
        answers = self._measured(model, passes, packs, rows)
        loss = self.loss(answers, self.beta)
        (slopes,) = torch.autograd.grad(loss, answers.logps)
        weights = dict(zip(map(_place, rows), (-slopes).tolist(), strict=True))
        for number, pack in enumerate(packs, start=1):
            with contextlib.nullcontext() if number == len(packs) else passes.accelerator.no_sync(model):
                of_rows = [weights[_place(row)] * pack.weight for row in pack.rows]
                own = pack_loss(model, passes.head, pack, passes.args.device, of_rows)
                passes.accelerator.backward(own * passes.args.world_size)  # DDP takes the mean over processes
        return loss.detach()

    def validate(self, model: Any, passes: Any, packs: Sequence[Pack], rows: Sequence[TokenRow]) -> float:
        """Return the loss of held-out answers, and report how far wanted ones are ahead of rejected ones."""
        answers = self._measured(model, passes, packs, rows)
        passes.reporter.measured(passes.state.global_step, {"validation_margin": answers.margin})
        return float(self.loss(answers, self.beta))

    def _measured(self, model: Any, passes: Any, packs: Sequence[Pack], rows: Sequence[TokenRow]) -> Answered:
        logps = self._logps(model, passes, packs, rows).requires_grad_()
        started = torch.tensor([self.started[_place(row)] for row in rows], dtype=torch.float64)
        lengths = torch.tensor([len(row.answer_ids) for row in rows])
        weights = torch.tensor([row.weight for row in rows])
        kinds = [[place for place, row in enumerate(rows) if row.kind == kind] for kind in KINDS]
        return Answered(logps, started, lengths, weights, *kinds)

    def _logps(self, model: Any, passes: Any, packs: Sequence[Pack], rows: Sequence[TokenRow]) -> torch.Tensor:
        places = {_place(row): place for place, row in enumerate(rows)}
        logps = torch.zeros(len(rows), dtype=torch.float64)
        with torch.no_grad():
            for pack in packs:
                found = pack_logps(model, passes.head, pack, passes.args.device)
                for row, logp in zip(pack.rows, found, strict=True) if pack.weight else ():
                    logps[places[_place(row)]] = logp
        summed = passes.accelerator.reduce(logps.to(passes.args.device), "sum")
        return torch.as_tensor(summed).cpu()


def _place(row: TokenRow) -> Place:
    return row.row_id, row.kind
