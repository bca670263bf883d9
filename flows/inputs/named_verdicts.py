"""A verdict by what a person calls it: a file, a report's folder, a run's name, or the beginning of a digest."""

from __future__ import annotations

import json
import re
from pathlib import Path

from pydantic import ValidationError

from schemas.errors import ConfigRefused
from schemas.reports import Verdict
from tasks.reuse.store import ArtifactStore

SCHEMA = 1  # Verdict.schema_version
FEWEST_DIGITS = 6  # of a digest


def find_verdict(name: str, store: ArtifactStore) -> Verdict:
    """Return the verdict that `name` stands for.

    Args:
        name: path of a verdict.json or of a folder with one, name of a run (its last report in the store), or the first
            digits of the digest of a report or verdict.
        store: where runs and digests are looked up.

    Raises:
        ConfigRefused: there is no such verdict, or another release wrote it.
    """
    path = Path(name)
    if path.is_dir() and not (path / "verdict.json").is_file():
        raise ConfigRefused(f"{name}: the folder has no verdict.json. Name a report's folder or a verdict.json.")
    if path.exists():
        return read_verdict(path / "verdict.json" if path.is_dir() else path)
    record = store.latest("write_report", "write_report", name)
    if record is not None and record["run"] == name:
        return read_verdict(store.open(record["artifact"]["digest"]) / "verdict.json")
    return read_verdict(_by_digest(name, store))


def _by_digest(name: str, store: ArtifactStore) -> Path:
    is_digest = re.fullmatch(f"[0-9a-f]{{{FEWEST_DIGITS},64}}", name) is not None
    near = [digest for digest in store.names("artifacts") if is_digest and digest.startswith(name)]
    files = [path for digest in near if (path := store.open(digest) / "verdict.json").is_file()]
    if len(files) == 1:
        return files[0]
    runs = sorted({str(record["run"]) for record in store.records("write_report")})
    known = f"runs with a report: {', '.join(runs[:10])}" if runs else "it has no report yet"
    what = f"is the beginning of {len(files)} digests" if files else "is no file, no run and no digest of a verdict"
    raise ConfigRefused(
        f"{name} {what} in the store {store.address} ({known}). Name a verdict.json, a report's folder, a run, or at "
        f"least {FEWEST_DIGITS} digits of a report's digest."
    )


def read_verdict(path: Path) -> Verdict:
    """Return the verdict of a file.

    Raises:
        ConfigRefused: it is not a verdict of this release.
    """
    try:
        text = path.read_text(encoding="utf-8")
        values = json.loads(text)
    except (OSError, ValueError) as fault:
        raise ConfigRefused(f"{path} cannot be read as JSON: {fault}. Name a verdict.json.") from None
    if not isinstance(values, dict) or "verdict" not in values:
        raise ConfigRefused(f"{path} is not a verdict. Name the verdict.json of a report.")
    if values.get("schema_version") != SCHEMA:
        raise _another_release(path, f"its schema_version is {values.get('schema_version', 'missing')}")
    try:
        return Verdict.model_validate_json(text)
    except ValidationError as fault:
        where = sorted({".".join(map(str, one["loc"])) for one in fault.errors(include_url=False)})
        raise _another_release(path, f"fields that do not fit: {', '.join(where[:6])}") from None


def _another_release(path: Path, how: str) -> ConfigRefused:
    return ConfigRefused(
        f"{path} was written by another release of Tuneworthy: {how}; this one reads schema_version {SCHEMA}. Run its "
        "config again with this release and compare the new verdict."
    )
