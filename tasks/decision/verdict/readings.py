"""What the two readings of answers say: both scores side by side, and how much of a gain is only a matter of form."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tasks.decision.verdict.wording import signed_spread

if TYPE_CHECKING:
    from schemas.reports import ArmReport

SMALLEST_FORM = 0.0005  # a difference between the two readings that three digits would not show


def both_readings(arm: ArmReport) -> str:
    """Return an arm's scores in both readings, such as "0.210 / 0.840"; "" where they are unknown."""
    if arm.strict_score is None or arm.lenient_score is None:
        return ""
    return f"{arm.strict_score:.3f} / {arm.lenient_score:.3f}"


def other_metrics(arm: ArmReport) -> str:
    """Return what the metrics say that do not decide, such as "em 0.410, macro_f1 0.620"."""
    return ", ".join(f"{name} {value:.3f}" for name, value in arm.also.items())


def form_sentence(arm: ArmReport) -> str:
    """Return how much of a tuned arm's gain is only a matter of form; "" where both readings of answers agree."""
    if arm.gain is None or arm.other_gain is None or abs(arm.gain - arm.other_gain) < SMALLEST_FORM:
        return ""
    strict, lenient = (arm.other_gain, arm.gain) if arm.reading == "lenient" else (arm.gain, arm.other_gain)
    other = "strictly" if arm.reading == "lenient" else "leniently, past the words around them"
    interval = signed_spread(arm.other_gain_low or 0.0, arm.other_gain_high or 0.0)
    form = strict - lenient
    told = f"{form:.3f} of what it gains strictly is form only" if form > 0 else "none of its gain is form only"
    return (
        f"with all answers read {other}, {arm.arm} gains {arm.other_gain:+.3f} ({interval}) instead of "
        f"{arm.gain:+.3f}: {told}."
    )
