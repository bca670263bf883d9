"""`tuneworthy status`: champions, last verdicts, next schedules and the store on one screen."""

from __future__ import annotations

import argparse
import json
import os
import time
from dataclasses import asdict
from typing import Any

import httpx
from rich.console import Console

from flows.command_line.terminal import bytes_in_words
from flows.command_line.versions.history import score_of
from schemas.errors import RegistryUnreachable
from tasks.registry.audit import Placed, overview
from tasks.reuse.current_store import current_store
from tasks.reuse.store import ArtifactStore

VERDICTS, SCHEDULES = 5, 5
PATIENCE = 2.0  # seconds for Prefect's answer


def status(arguments: argparse.Namespace) -> int:
    """Show where everything stands."""
    store = current_store()
    found: dict[str, Any] = {"models": [], "problems": [], "verdicts": _verdicts(store), "schedules": []}
    try:
        models = overview(os.environ.get("MLFLOW_TRACKING_URI", ""), store)
        found["models"] = [asdict(model) for model in models]
    except RegistryUnreachable as fault:
        found["problems"].append(str(fault))
    try:
        found["schedules"] = _schedules(os.environ.get("PREFECT_API_URL", ""))
    except (httpx.HTTPError, ValueError) as fault:
        found["problems"].append(f"Prefect at {os.environ['PREFECT_API_URL']} does not answer: {fault}")
    digests = store.names("artifacts")
    found["store"] = {"address": store.address, "artifacts": len(digests), "bytes": sum(map(store.sizes, digests))}
    print(json.dumps(found)) if arguments.json else _show(found)
    return 0


def _verdicts(store: ArtifactStore) -> list[dict[str, Any]]:
    """Return the newest verdict of each run, the newest first."""
    newest: dict[str, dict[str, Any]] = {}
    for record in sorted(store.records("decide"), key=lambda record: float(record["sealed_at"])):
        if record["label"] == "decide" or record["run"] not in newest:
            newest[record["run"]] = record
    return [
        {"run": run, "sealed_at": record["sealed_at"], "headline": record["artifact"]["headline"]}
        for run, record in sorted(newest.items(), key=lambda item: -item[1]["sealed_at"])
    ][:VERDICTS]


def _schedules(api: str) -> list[dict[str, Any]]:
    """Return the next scheduled runs of a Prefect server; none without one."""
    if not api:
        return []
    key, login = os.environ.get("PREFECT_API_KEY"), os.environ.get("PREFECT_API_AUTH_STRING")
    headers = {"Authorization": f"Bearer {key}"} if key else {}
    asked = {
        "flow_runs": {"state": {"type": {"any_": ["SCHEDULED"]}}},
        "sort": "EXPECTED_START_TIME_ASC",
        "limit": SCHEDULES,
    }
    auth = httpx.BasicAuth(*login.split(":", 1)) if login and ":" in login else None
    answer = httpx.post(f"{api.rstrip('/')}/flow_runs/filter", json=asked, headers=headers, auth=auth, timeout=PATIENCE)
    answer.raise_for_status()
    return [{"name": run["name"], "at": run["expected_start_time"]} for run in answer.json()]


def _show(found: dict[str, Any]) -> None:
    console = Console(highlight=False, soft_wrap=True)
    console.print("champions", style="bold")
    for model in found["models"]:
        console.print(f"  {_placed(Placed(**model))}", markup=False)
    if not found["models"]:
        console.print("  none yet: `tuneworthy run` registers an adapter that earned its place")
    console.print("last verdicts", style="bold")
    for verdict in found["verdicts"]:
        when = time.strftime("%Y-%m-%d %H:%M", time.localtime(verdict["sealed_at"]))
        console.print(f"  {verdict['run']}, {when}: {verdict['headline']}", markup=False)
    if not found["verdicts"]:
        console.print("  none yet")
    console.print("next schedules", style="bold")
    for run in found["schedules"]:
        console.print(f"  {run['at'][:16].replace('T', ' ')} UTC  {run['name']}", markup=False)
    if not found["schedules"]:
        console.print(
            "  none" if os.environ.get("PREFECT_API_URL") else "  none known: PREFECT_API_URL names no server"
        )
    kept = found["store"]
    console.print("store", style="bold")
    size = bytes_in_words(kept["bytes"]) or "0 MB"
    console.print(f"  {kept['address']}: {kept['artifacts']} artifacts, {size}", markup=False)
    for problem in found["problems"]:
        console.print(problem, style="yellow", markup=False)


def _placed(model: Placed) -> str:
    challenger = f"; challenger: version {model.challenger}" if model.challenger else ""
    if not model.champion:
        return f"{model.model}: no champion{challenger}"
    return f"{model.model}: version {model.champion} since {model.since[:10]}{score_of(model)}{challenger}"
