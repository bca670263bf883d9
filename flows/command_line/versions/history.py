"""`tuneworthy history`: the audit trail of a registered model."""

from __future__ import annotations

import argparse
import json
import os

from rich.console import Console

from tasks.registry.audit import Move, Placed, moves_of
from tasks.reuse.current_store import current_store


def history(arguments: argparse.Namespace) -> int:
    """Show every move, the newest last."""
    moves = moves_of(os.environ.get("MLFLOW_TRACKING_URI", ""), arguments.name, current_store())
    if arguments.json:
        print(json.dumps({"model": arguments.name, "moves": [move.model_dump() for move in moves]}))
        return 0
    console = Console(highlight=False, soft_wrap=True)
    for move in moves:
        console.print(_in_words(move), markup=False)
    if not moves:
        console.print(f"{arguments.name} has not been moved yet.")
    return 0


def _in_words(move: Move) -> str:
    became = "champion again" if move.move == "rollback" else move.move
    when = move.placed_at.replace("T", " ").removesuffix("Z")
    instead = f", in place of version {move.before}" if move.before else ""
    return (
        f"{when}  version {move.version} became {became}{instead}{score_of(move)}, by {move.placed_by or 'a run'}\n"
        f"{'':21}{move.placed_because}"
    )


def score_of(found: Move | Placed) -> str:
    """Return ", score 0.583 (0.471 to 0.664)", or nothing where the move has no score."""
    if not found.score:
        return ""
    low, high = (f"{float(end):.3f}" if end else "?" for end in (found.score_low, found.score_high))
    return f", score {float(found.score):.3f} ({low} to {high})"
