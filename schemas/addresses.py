"""Where rows may come from, told by the spelling of `data.source`: files, a database, or a dataset of the hub."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Literal
from urllib.parse import unquote_plus

Kind = Literal["files", "database", "hub"]
HUB = "hub://"
HUB_NAME = re.compile(r"hub://[\w.-]+/[\w.-]+")
COMMIT = re.compile(r"[0-9a-f]{40}")
PLACE = re.compile(r"env:[A-Za-z_]\w*|prefect:[a-z0-9-]+")  # where a password may be kept
# What SQLAlchemy reads as a password, and what drivers take for one among a URL's parameters.
PASSWORD = re.compile(r"(?is)://[^:/@]*:[^@]*@|[?&;]\s*\w*(passw|pwd|secret|token|passphrase|api_?key)\w*\s*=")
ASKING = re.compile(r"(?is)(\s|--[^\n]*\n|/\*.*?\*/|\()*(select|with|values|table)\b")
NO_DATABASE = re.compile(r"(?i)(https?|ftps?|s3a?|gs|gcs|abfss?|az|adl|hdfs|file|hf|ssh|sftp|git|minio|dbfs)://")
BELONG = {"query": "database", "password": "database", "revision": "hub", "split": "hub", "subset": "hub"}
NAMES = {"files": "files", "database": "a database", "hub": "a data set on the hub"}


def kind_of(source: str) -> Kind:
    """Return what kind of place a source names."""
    if source.startswith(HUB):
        return "hub"
    return "database" if "://" in source else "files"


def faults_of(source: str, settings: Mapping[str, str | None]) -> list[str]:
    """Return what is wrong with a source and its settings; no message repeats what may be a password.

    Args:
        source: data.source.
        settings: query, password, revision, split and subset; None where one is left out.
    """
    kind = kind_of(source)
    faults = [
        f"{name} goes with {NAMES[wanted]}, and source names {NAMES[kind]}; leave it out"
        for name, wanted in BELONG.items()
        if settings[name] is not None and wanted != kind
    ]
    if kind == "database":
        faults += _database_faults(source, settings["query"], settings["password"])
    if kind == "hub":
        faults += _hub_faults(source, settings["revision"])
    return faults


def _database_faults(source: str, query: str | None, password: str | None) -> list[str]:
    if scheme := NO_DATABASE.match(source):
        return [
            f"source: rows are not read from {scheme[0]}; allowed are files (a path or glob on this machine), "
            "hub://OWNER/NAME, and databases such as sqlite:/// or postgresql://. Fetch the file and name its path"
        ]
    faults = []
    if PASSWORD.search(source) or PASSWORD.search(unquote_plus(source)):
        faults.append(
            "source contains a password, which everybody who reads the config would see. Take it out, and set password "
            "to env:NAME (an environment variable) or prefect:NAME (a Secret block of Prefect)"
        )
    if query is None:
        faults.append("source names a database, so query is needed: one SELECT whose rows are the rows of the data")
    elif not ASKING.match(query):
        faults.append("query has to begin with SELECT or WITH: it may only read")
    if password is not None and not PLACE.fullmatch(password):
        faults.append(
            "password says where the password is kept, env:NAME or prefect:NAME, and is never the password itself"
        )
    return faults


def _hub_faults(source: str, revision: str | None) -> list[str]:
    faults = [] if HUB_NAME.fullmatch(source) else ["source names a data set on the hub as hub://OWNER/NAME"]
    if revision is None or not COMMIT.fullmatch(revision):
        faults.append(
            "revision has to be the commit of the dataset, 40 hex digits, as a branch or tag can move; its page on the "
            "hub shows it under Files, History"
        )
    return faults
