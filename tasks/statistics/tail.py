"""The chance that a weighted sum of independent exponentials is at most zero, by a saddlepoint: closed form, no draws.

Barndorff-Nielsen's r* for the cumulants K(s) = -sum(log(1 - s x)): Butler, Saddlepoint Approximations with Applications
(2007), ch. 1 and 2. For two values it is the beta distribution, to three digits.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr

Floats = NDArray[np.float64]
STEPS = 60
CLOSE = 1e-8  # of the bracket; the chance is flat there, so its error is the square of this
NEAR_THE_MEAN = 1e-5  # where r* is 0/0; there the normal's half is close enough


def chance_at_or_below_zero(terms: Floats, counts: Floats) -> Floats:
    """Return P(sum of terms times exponentials <= 0), one probability a run.

    Args:
        terms: weights of the exponentials (mean 1 each), shape (runs, terms).
        counts: how often each column occurs, shape (terms,).
    """
    chance = np.where(terms.max(axis=1) <= 0.0, 1.0, 0.0)
    mixed = (terms.max(axis=1) > 0.0) & (terms.min(axis=1) < 0.0)
    if mixed.any():
        chosen = terms[mixed]
        chance[mixed] = _tail(chosen / np.abs(chosen).max(axis=1, keepdims=True), counts)
    return chance


def _tail(terms: Floats, counts: Floats) -> Floats:
    point = _saddlepoint(terms, counts)
    left = 1.0 - point[:, None] * terms
    cumulant = -(np.log(left) @ counts)
    curvature = ((terms / left) ** 2) @ counts
    root = np.sign(point) * np.sqrt(np.maximum(-2.0 * cumulant, 0.0))
    is_far = np.abs(root) > NEAR_THE_MEAN
    root = np.where(is_far, root, NEAR_THE_MEAN)
    slope = np.where(is_far, point * np.sqrt(curvature), NEAR_THE_MEAN)
    return np.asarray(ndtr(root + np.log(slope / root) / root), dtype=np.float64)


def _saddlepoint(terms: Floats, counts: Floats) -> Floats:
    """Return where the slope of the cumulants is zero: Newton's steps, halved where one leaves the bracket."""
    low, high = 1.0 / terms.min(axis=1), 1.0 / terms.max(axis=1)
    enough = CLOSE * (high - low)
    point = np.zeros(len(terms))
    left = np.arange(len(terms))
    for _ in range(STEPS):
        at = point[left]
        ratios = terms[left] / (1.0 - at[:, None] * terms[left])
        slope = ratios @ counts
        low[left], high[left] = np.where(slope < 0.0, at, low[left]), np.where(slope < 0.0, high[left], at)
        step = at - slope / ((ratios * ratios) @ counts)
        is_inside = (step > low[left]) & (step < high[left])
        point[left] = np.where(is_inside, step, (low[left] + high[left]) / 2.0)
        left = left[np.abs(point[left] - at) > enough[left]]
        if not left.size:
            break
    return point
