"""The servers that a run will need, asked before it starts and by `doctor`: an address alone says nothing."""

from __future__ import annotations

import os
import re
import sqlite3
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path

import httpx

from schemas.errors import MachineLacks
from tasks.registry.connection import shown
from tasks.reuse.planning import Plan

SECONDS = 5.0


# With only these left to do, the verdict is in the store: it is shown, whatever MLflow says then.
LAST = {"decide", "compare_champion", "write_report", "track_verdict", "register_adapter"}


def require_servers(found: Plan) -> None:
    """Refuse to start a run whose Prefect or MLflow server does not answer; one that is not named is started, or made.

    Args:
        found: what the run has to do; where that is nothing, or MLflow's part only, MLflow is not asked here.

    Raises:
        MachineLacks: which one, where its address comes from, and what to do.
    """
    if found.is_all_hits:
        return
    is_last = all(stage.outlook == "hit" or stage.label.partition("[")[0] in LAST for stage in found.stages)
    faults = [
        f"{fault}. {step}"
        for fault, step in (
            (prefect_fault(), "Start it, or unset PREFECT_API_URL: a run then starts a server of its own."),
            (
                None if is_last else mlflow_fault(),
                "Start it, or set MLFLOW_TRACKING_URI to one that runs; unset, MLflow is in the store.",
            ),
        )
        if fault
    ]
    if faults:
        raise MachineLacks("\n".join(faults))


def prefect_fault() -> str | None:
    """Return why the Prefect server cannot be used, or None."""
    url = os.environ.get("PREFECT_API_URL")
    if not url:
        return None
    named = f"PREFECT_API_URL={url}"
    if not url.startswith(("http://", "https://")):
        return f"{named} is no address of a server: write it as http://{url.rpartition('://')[2].rstrip('/')}/api"
    found = _answer(f"{url.rstrip('/')}/admin/version")
    if isinstance(found, str):
        return f"{named}: the Prefect server does not answer ({found})"
    if not found.is_success:
        return f"{named}: what answers there is no Prefect API (HTTP {found.status_code}); its address ends with /api"
    theirs, ours = found.text.strip().strip('"'), version("prefect")
    is_other = theirs.partition(".")[0] != ours.partition(".")[0]
    return f"{named} is Prefect {theirs}, and this is {ours}" if is_other else None


def mlflow_fault() -> str | None:
    """Return why MLflow's server or database file cannot be used, or None."""
    uri = os.environ.get("MLFLOW_TRACKING_URI")
    if not uri:
        return None
    named = f"MLFLOW_TRACKING_URI={shown(uri)}"
    if uri.startswith(("http://", "https://")):
        found = _answer(f"{uri.rstrip('/')}/health")
        if isinstance(found, str):
            return f"{named}: the MLflow server does not answer ({found})"
        return None if found.status_code < 500 else f"{named}: the MLflow server fails (HTTP {found.status_code})"
    path = Path(uri.removeprefix("sqlite:///"))
    if not uri.startswith("sqlite:///") or not path.is_file():
        return None
    known, found_in = _schemas(), _schema_of(path)
    if found_in in (None, known):
        return None
    return f"{named} has another MLflow's schema; copy the file, then run `mlflow db upgrade {shown(uri)}`"


def _answer(url: str) -> httpx.Response | str:
    """Return a server's answer, or in words why there is none."""
    try:
        return httpx.get(url, timeout=SECONDS, follow_redirects=True)
    except (httpx.HTTPError, httpx.InvalidURL, OSError) as fault:
        return str(fault) or type(fault).__name__


def _schema_of(path: Path) -> str | None:
    """Return the schema that an MLflow database file has; None where it has none yet."""
    try:
        with sqlite3.connect(f"file:{path}?mode=ro", uri=True) as database:
            found = database.execute("SELECT version_num FROM alembic_version").fetchone()
    except sqlite3.Error:
        return None
    return str(found[0]) if found else None


def _schemas() -> str | None:
    """Return the schema that the installed MLflow wants, from its files' names: importing it takes seconds."""
    spec = find_spec("mlflow")
    folder = Path(str(spec and spec.origin)).parent / "store" / "db_migrations" / "versions"
    texts = [path.read_text(encoding="utf-8") for path in folder.glob("*.py")]
    made, left = (
        {found for text in texts for found in re.findall(rf'^{name} = "(\w+)"', text, re.MULTILINE)}
        for name in ("revision", "down_revision")
    )
    return next(iter(made - left), None)
