"""`tuneworthy export`: a version as files for another runtime."""

from __future__ import annotations

import argparse
import json
import os
import tempfile
from dataclasses import asdict
from pathlib import Path

from tasks.registry.delivery.exporting import export as write
from tasks.registry.serving.serving_version import Name, fetch_version
from tasks.reuse.current_store import current_store


def export(arguments: argparse.Namespace) -> int:
    """Write it, and say how it answers there."""
    name, destination = Name.parse(arguments.name), os.environ.get("MLFLOW_TRACKING_URI", "")
    with tempfile.TemporaryDirectory() as scratch:
        fetched = fetch_version(destination, name, current_store(), Path(scratch) / "version")
        checked = write(fetched, arguments.form, arguments.folder, arguments.tolerance)
    if arguments.json:
        told = {"model": name.model, "version": fetched.version, "folder": str(arguments.folder)}
        print(json.dumps(told | asdict(checked)))
        return 0
    print(f"{name.model} version {fetched.version} is in {arguments.folder}. {checked.in_words}.")
    return 0
