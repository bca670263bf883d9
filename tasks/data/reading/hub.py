"""Rows of a dataset on the Hugging Face hub: pinned by commit, fetched once, and kept as a JSON Lines file."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import TYPE_CHECKING

from schemas.addresses import HUB
from schemas.errors import ConfigRefused, DatasetMissing
from tasks.data.reading.fetching import as_line, fetched_before, kept_rows
from tasks.data.reading.tables import as_text, class_names

if TYPE_CHECKING:
    from schemas.sections.data import DataConfig
    from schemas.sources import SourceFile
    from tasks.reuse.store import ArtifactStore

CHUNK = 10_000  # rows made into lines at once


def fetch_dataset(data: DataConfig, store: ArtifactStore) -> SourceFile:
    """Return the rows of `data.source` at its commit, in the dataset's own order; what was fetched before is reused.

    Raises:
        ConfigRefused: there is no such split or configuration.
        DatasetMissing: the dataset is not in the local cache and unavailable from the hub.
    """
    name = data.source.removeprefix(HUB)
    identity = "\n".join([data.source, str(data.revision), str(data.subset), _split(data)])
    known = fetched_before(identity, name.replace("/", "-"), store)
    return known or kept_rows(_lines(data, name), identity, name.replace("/", "-"), store)


def _split(data: DataConfig) -> str:
    return data.split or "train"


def _lines(data: DataConfig, name: str) -> Iterator[bytes]:
    """Yield each row as a line; a dataset's own code is never run."""
    from datasets import load_dataset
    from datasets.exceptions import DatasetsError

    try:
        rows = load_dataset(name, data.subset, split=_split(data), revision=data.revision)
    except (
        DatasetsError,
        OSError,
        RuntimeError,
    ) as fault:  # offline, not in the cache, no such name or commit, not allowed in, only a script
        raise DatasetMissing(_missing(data, name, str(fault))) from fault
    except ValueError as fault:  # no such split or configuration; it lists those that exist
        reason = " ".join(str(fault).split())[:400]
        raise ConfigRefused(
            f"data.source: {data.source} has no split {_split(data)!r} of configuration "
            f"{data.subset or 'default'!r}: {reason}"
        ) from fault
    # Offline, the library uses whatever commit it finds in its cache.
    if not all(str(data.revision) in file["filename"] for file in rows.cache_files):
        raise DatasetMissing(_missing(data, name, "the cache holds another commit"))
    for batch in rows.with_format("arrow").iter(batch_size=CHUNK):
        names = class_names(batch.schema.metadata or {})
        yield from (as_line(row) for _, row in as_text(enumerate(batch.to_pylist()), names))


def _missing(data: DataConfig, name: str, fault: str) -> str:
    reason = (fault.strip().splitlines() or ["no reason given"])[0].rstrip(".")[:300]
    offline = (
        " HF_HUB_OFFLINE is set, so the hub was not contacted: unset it once to fetch the dataset."
        if os.environ.get("HF_HUB_OFFLINE") == "1"
        else ""
    )
    return (
        f"data.source: {name} at {str(data.revision)[:12]} is not in the local cache and could not be fetched: "
        f"{reason}.{offline} "
        "If the hub cannot be reached from here, run once on a machine that reaches it, with the same TUNEWORTHY_STORE "
        "or HF_HOME, or name files instead. "
        "A private or gated dataset needs HF_TOKEN."
    )
