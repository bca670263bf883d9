"""What became of the rows, line by line, for the terminal and for logs."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from tasks.data.checking.refusing import by_reason
from tasks.data.reporting.balance import unbalanced
from tasks.data.reporting.changes import Changes

if TYPE_CHECKING:
    from schemas.sections.data import DataConfig
    from tasks.data.checking.sieve import Sieve

ADVISED = 500  # train rows; fewer often teach only the form of answers: a warning, not a reason to refuse


def report_lines(sieve: Sieve, report: dict[str, Any], data: DataConfig, changes: Changes | None) -> Iterator[str]:
    """Yield what a run says of its rows; `report` is report.json, `changes` what is different from the last run."""
    rows = report["rows"]
    sides = f"{rows['train']} train rows, {rows['held_out']} held out"
    yield f"{rows['read']} rows read, {sides}, {rows['refused']} taken out"
    if data.teacher is not None:
        train, held_out = report["taught"].values()
        yield f"{train} train rows and {held_out} held-out rows have the answers of the teacher {data.teacher}"
    if report["tied"]["rows"]:
        yield f"{report['tied']['rows']} rows nearly repeat rows of an earlier group and now belong to it"
    if unread := report["unread_documents"]:
        yield f"{len(unread)} documents cannot be read: {'; '.join(unread[:5])}"
    for what, table in (("taken out", sieve.refused), ("noted", sieve.notes)):
        if table.height:
            yield f"{what}: {by_reason(table)}"
    if report["personal_data"]["missing"]:
        missing = ", ".join(report["personal_data"]["missing"])
        yield f"not searched for personal data and secrets: not installed: {missing} (extra `personal`)"
    if rows["train"] < ADVISED:
        yield (
            f"{rows['train']} train rows; with fewer than {ADVISED} a tuned model often learns only the form of the "
            "answers"
        )
    for line in unbalanced(report["labels"]["balance"]) if report["labels"] and not data.has_own_sides else []:
        yield f"labels: {line}"
    if changes is not None:
        yield f"since the last run: {changes}"
