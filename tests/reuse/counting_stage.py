"""A small stage for tests of the plumbing: it counts in a file how often it really ran, across processes."""

from __future__ import annotations

import os
import time
from pathlib import Path

from schemas.artifacts import ReportArtifact
from schemas.errors import TransientFault
from tasks.reuse.stage import WorkDirectory, stage


@stage(libraries=("numpy",))
def count_letters(text: str, sections: dict[str, int], *, workdir: WorkDirectory) -> ReportArtifact:
    """Seal a text of so many letters, after leaving a mark that it ran."""
    with Path(os.environ["COUNTING_STAGE_MARKS"]).open("a", encoding="utf-8") as marks:
        marks.write("ran\n")
    for _ in range(round(10 * float(os.environ.get("COUNTING_STAGE_SECONDS", "0")))):
        time.sleep(0.1)  # Prefect ends a task that takes too long between two calls, not within one
    if text == "transient" and len(_marks()) < 3:
        raise TransientFault("the network went away; run again")
    if text == "broken":
        raise ValueError("a fault of the code")
    (workdir.out / "letters.txt").write_text(text * sections.get("times", 1), encoding="utf-8")
    return ReportArtifact(headline=text)


@stage()
def measure_letters(first: ReportArtifact, *, workdir: WorkDirectory) -> ReportArtifact:
    """Seal the number of letters of what `count_letters` sealed."""
    (workdir.out / "size.txt").write_text(str(len((workdir.open(first) / "letters.txt").read_text())), encoding="utf-8")
    return ReportArtifact(headline="size")


def _marks() -> list[str]:
    path = Path(os.environ["COUNTING_STAGE_MARKS"])
    return path.read_text(encoding="utf-8").split() if path.exists() else []
