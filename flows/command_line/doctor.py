"""`tuneworthy doctor`: does this machine have what a run needs? Each line names the fix; nothing heavy is imported."""

from __future__ import annotations

import argparse
import importlib.metadata
import json
import os
import shutil
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console

from flows.inputs.servers import mlflow_fault, prefect_fault
from schemas.errors import TuneworthyError
from tasks.reuse.current_store import current_store

ENGINES = ("torch", "transformers", "peft", "bitsandbytes", "lm_eval", "bm25s")
NEEDED = ("prefect", "mlflow", "datasets", "pandera", *ENGINES)
FASTAPI_BREAKS_PREFECT = (0, 151)
GIGABYTE = 1e9


@dataclass(frozen=True)
class Finding:
    """One thing that was checked: whether it is fine, what was found, and how to fix it."""

    name: str
    is_fine: bool
    found: str
    fix: str = ""


def doctor(arguments: argparse.Namespace) -> int:
    """Print what was found and return 0, or 5 when something is missing."""
    findings = [*_python(), *_packages(), *_fastapi(), *_store(), *_memory(), *_processor(), *_models(), *_servers()]
    is_fine = all(finding.is_fine for finding in findings)
    if arguments.json:
        print(json.dumps({"is_fine": is_fine, "findings": [vars(finding) for finding in findings]}))
        return 0 if is_fine else 5
    console, width = Console(highlight=False), max(len(finding.name) for finding in findings)
    for finding in findings:
        mark = "[green]✓[/]" if finding.is_fine else "[red]✗[/]"
        fix = "" if finding.is_fine else f" — {finding.fix}"
        console.print(f"{mark} {finding.name:<{width}}  {finding.found}{fix}", soft_wrap=True)
    return 0 if is_fine else 5


def _python() -> Iterator[Finding]:
    version = ".".join(map(str, sys.version_info[:3]))
    yield Finding("python", sys.version_info[:2] >= (3, 11), version, "install Python 3.11")


def _packages() -> Iterator[Finding]:
    missing, found = [], []
    for name in NEEDED:
        try:
            found.append(f"{name} {importlib.metadata.version(name)}")
        except importlib.metadata.PackageNotFoundError:
            missing.append(name)
    told = f"missing: {', '.join(missing)}" if missing else ", ".join(found)
    yield Finding("packages", not missing, told, "pip install -r requirements.lock")


def _fastapi() -> Iterator[Finding]:
    version = importlib.metadata.version("fastapi")
    is_fine = tuple(int(part) for part in version.split(".")[:2]) < FASTAPI_BREAKS_PREFECT
    yield Finding("fastapi", is_fine, version, 'prefect 3.8 fails with it; pip install "fastapi<0.151"')


def _store() -> Iterator[Finding]:
    store = current_store()
    try:
        with tempfile.TemporaryFile(dir=store.folder()):
            free = shutil.disk_usage(store.root).free
        told, fix = f"{store.root}, {free / GIGABYTE:.0f} GB free", "make room; a run of a small model takes about 5 GB"
        yield Finding("store", free > 5 * GIGABYTE, told, fix)
    except (OSError, TuneworthyError) as fault:
        yield Finding("store", False, str(fault), "set TUNEWORTHY_STORE to a folder that you may write")


def _memory() -> Iterator[Finding]:
    total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    yield Finding("memory", total > 4 * GIGABYTE, f"{total / GIGABYTE:.0f} GB", "the demo needs 4 GB")


def _processor() -> Iterator[Finding]:
    flags = Path("/proc/cpuinfo").read_text().split() if Path("/proc/cpuinfo").exists() else []
    fast = [flag for flag in ("avx2", "avx512f", "avx512_bf16", "amx_bf16") if flag in flags]
    card = "with an NVIDIA card" if Path("/proc/driver/nvidia/version").exists() else "no GPU"
    yield Finding("processor", True, f"{os.cpu_count()} cores, {', '.join(fast) or 'no AVX2'}, {card}")


def _models() -> Iterator[Finding]:
    from tasks.base.sources import installed_packages_with_gguf

    names = ", ".join(f"package://{name}" for name in installed_packages_with_gguf())
    yield Finding("models", True, names or "none in packages; name a folder or a hub id")


def _servers() -> Iterator[Finding]:
    for name, variable, otherwise, fault in (
        ("prefect", "PREFECT_API_URL", "no server named: a run starts its own (about 7 s)", prefect_fault()),
        ("mlflow", "MLFLOW_TRACKING_URI", "SQLite in the store", mlflow_fault()),
    ):
        yield Finding(name, not fault, fault or os.environ.get(variable) or otherwise, f"start it, or unset {variable}")
