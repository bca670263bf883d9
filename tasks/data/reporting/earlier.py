"""The previous data of a run, which its report compares with."""

from __future__ import annotations

from schemas.artifacts import DataArtifact
from tasks.reuse.current_store import current_store
from tasks.reuse.planning import current_run

STAGE = "validate_data"


def earlier_data(data: DataArtifact) -> DataArtifact | None:
    """Return the last other data that this run sealed before `data`, or None if there is none, it is not whole or
    `data` does not exist yet.

    It depends only on the records, so a run that finds everything in the store finds this too.
    """
    if not isinstance(data, DataArtifact):  # Pending, in a plan
        return None
    store = current_store()
    records = sorted(store.records(STAGE), key=lambda record: float(record["sealed_at"]), reverse=True)
    since = min((record["sealed_at"] for record in records if record["artifact"]["digest"] == data.digest), default=0.0)
    before = (
        record["artifact"] for record in records if record["run"] == current_run.get() and record["sealed_at"] < since
    )
    others = (
        artifact
        for artifact in before
        if artifact["digest"] != data.digest and artifact.keys() == DataArtifact.model_fields.keys()
    )
    found = next((artifact for artifact in others if store.is_whole(artifact["digest"])), None)
    return DataArtifact.model_validate(found) if found else None
