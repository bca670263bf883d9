"""`tuneworthy rollback`: makes the previous champion, or a version by its number, champion again."""

from __future__ import annotations

import argparse
import json
import os
from dataclasses import asdict

from flows.inputs.config_file import read_config
from tasks.registry.rolling_back import RolledBack, roll_back
from tasks.reuse.current_store import current_store


def rollback(arguments: argparse.Namespace) -> int:
    """Roll the champion back and say what was done."""
    config = read_config(arguments.config, arguments.set)
    found = roll_back(os.environ.get("MLFLOW_TRACKING_URI", ""), config.registry.model, arguments.to, current_store())
    print(json.dumps(asdict(found)) if arguments.json else _in_words(found))
    return 0


def _in_words(found: RolledBack) -> str:
    if found.version == found.before:
        return f"{found.model}: version {found.version} is the champion already; nothing was changed."
    kept = f"version {found.before} is kept as previous, and the same command goes back to it"
    was = kept if found.before else "there was none before"
    return (
        f"{found.model}: version {found.version} is the champion now (its base, tokenizer, template and files were "
        f"checked); {was}."
    )
