"""What is learned from pairs of answers: the loss of a step, from the log-probabilities of its answers.

dpo (Rafailov et al. 2023): a wanted answer gains on the rejected one, beyond what it was ahead at the start. orpo (Hong
et al. 2024): a wanted answer is learned, and its odds gain on the rejected one's, without a reference. kto (Ethayarajh
et al. 2024): each answer alone is wanted or not, compared with how far answers to other requests have moved.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch.nn.functional import logsigmoid


@dataclass(frozen=True)
class Answered:
    """The answers of a step, one place each.

    logps (N,) are their summed log-probabilities, started (N,) what these were before the first step, lengths (N,)
    their tokens, weights (N,) how much their rows count. wanted and rejected hold the places of the answers of each
    kind, pair by pair for dpo and orpo, and mismatched those of answers to other requests.
    """

    logps: torch.Tensor
    started: torch.Tensor
    lengths: torch.Tensor
    weights: torch.Tensor
    wanted: Sequence[int]
    rejected: Sequence[int]
    mismatched: Sequence[int] = ()

    @property
    def margin(self) -> float:
        """How much more the log-probability of wanted answers has grown than that of rejected ones, in the mean."""
        moved = (self.logps - self.started).detach()
        means = [float(moved[list(some)].mean()) if some else 0.0 for some in (self.wanted, self.rejected)]
        return means[0] - means[1]


def dpo(answers: Answered, beta: float) -> torch.Tensor:
    """Return the mean over pairs."""
    moved, wanted = answers.logps - answers.started, list(answers.wanted)
    gains = beta * (moved[wanted] - moved[list(answers.rejected)])
    return _mean(-logsigmoid(gains), answers.weights[wanted])


def orpo(answers: Answered, beta: float) -> torch.Tensor:
    """Return the mean over pairs; `beta` weighs the odds against the loss of the wanted answer, a mean over tokens."""
    means = answers.logps / answers.lengths
    odds = means - torch.log1p(-torch.exp(means.clamp(max=-1e-6)))
    wanted = list(answers.wanted)
    losses = -means[wanted] - beta * logsigmoid(odds[wanted] - odds[list(answers.rejected)])
    return _mean(losses, answers.weights[wanted])


def kto(answers: Answered, beta: float) -> torch.Tensor:
    """Return the mean over answers."""
    moved, wanted, rejected = answers.logps - answers.started, list(answers.wanted), list(answers.rejected)
    zero = moved[list(answers.mismatched)].mean().detach().clamp(min=0) if answers.mismatched else moved.new_zeros(())
    gains = torch.cat([moved[wanted] - zero, zero - moved[rejected]])
    return _mean(1 - torch.sigmoid(beta * gains), answers.weights[wanted + rejected])


def _mean(losses: torch.Tensor, weights: torch.Tensor) -> torch.Tensor:
    return (losses * weights).sum() / weights.sum()


OBJECTIVES = {"dpo": dpo, "orpo": orpo, "kto": kto}
