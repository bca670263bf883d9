"""Reasoning traces in a model's answer: what is scored is what follows."""

from __future__ import annotations

OPENED, CLOSED = "<think>", "</think>"


def after_trace(output: str) -> str:
    """Return an answer without the reasoning before it: nothing where the trace never ends."""
    if CLOSED in output:
        return output.rpartition(CLOSED)[2].lstrip()
    return "" if output.lstrip().startswith(OPENED) else output
