"""`tuneworthy store verify` and `tuneworthy store gc`."""

from __future__ import annotations

import argparse

from rich.console import Console

from flows.command_line.terminal import bytes_in_words
from tasks.reuse.current_store import current_store
from tasks.reuse.store import ArtifactStore
from tasks.reuse.upkeep import collect, verify


def upkeep(arguments: argparse.Namespace) -> int:
    """Verify or collect the store and say what was found."""
    store = current_store()
    return _verify(store) if arguments.duty == "verify" else _collect(store, arguments)


def _verify(store: ArtifactStore) -> int:
    found = verify(store)
    console = Console(highlight=False, soft_wrap=True)
    whole = f"{len(found.whole)} artifacts whole ({bytes_in_words(found.bytes) or '0 MB'})"
    console.print(f"{store.address}: {whole}, {len(found.broken)} broken")
    for digest in found.broken:
        console.print(f"[red]✗[/] {digest} was set aside; the next run that needs it makes it again")
    return 1 if found.broken else 0


def _collect(store: ArtifactStore, arguments: argparse.Namespace) -> int:
    found = collect(store, arguments.keep_days, arguments.keep_verdicts, is_dry=arguments.dry_run)
    verb = "would remove" if arguments.dry_run else "removed"
    what = f"{len(found.artifacts)} artifacts ({bytes_in_words(found.bytes) or '0 MB'})"
    what += f", {found.records} records, {found.workdirs} abandoned work directories"
    Console(highlight=False, soft_wrap=True).print(f"{store.address}: {verb} {what}; kept {found.kept} artifacts")
    return 0
