"""The sieve that the rows pass through: which rows are left, and what the checks found. A row is either kept or taken
out with a reason; none is lost silently.

Each reason has an action: `refuse` takes the row out and counts it against data.refuse_above, `drop` takes it out
without counting it, `note` keeps it and lists it, and so does `mask`, after tasks/data/checking/personal.py has masked
its texts. A row is taken out for one reason, the first that is found; it may have several notes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import polars as pl

from tasks.data.checking.reasons import REASONS
from tasks.data.reading.copying import deep_copy
from tasks.data.text.redaction import excerpts

KEPT = ("note", "mask")
OUT = (
    "row_id",
    "file",
    "line",
    "reason",
    "detail",
    "action",
    "mend",
    "prompt",
    "completion",
)  # columns of refused.parquet
FINDING = {"row_id": pl.Int64, "reason": pl.String, "detail": pl.String}


def own_texts(rows: pl.DataFrame) -> pl.DataFrame:
    """Return the prompt and completion columns of the rows."""
    return rows.select("prompt", "completion")


@dataclass
class Sieve:
    """The rows that are left of the `read` rows, and the findings.

    `rows` need row_id, file and line beside the columns that the checks use; `texts` returns the prompt and completion
    of some of them; `also` are further right answers of rows (row_id, also), `unwanted` answers that kto learns from.
    """

    rows: pl.DataFrame
    actions: Mapping[str, str]
    read: int
    texts: Callable[[pl.DataFrame], pl.DataFrame] = own_texts
    found: list[pl.DataFrame] = field(default_factory=list)
    also: list[pl.DataFrame] = field(default_factory=list)
    unwanted: list[pl.DataFrame] = field(default_factory=list)

    def action(self, reason: str) -> str:
        """Return the action of a reason: refuse, drop, note or mask."""
        return self.actions.get(reason) or REASONS[reason].action

    def sift(self, found: pl.DataFrame) -> None:
        """Take out or note the rows of these findings (FINDING's columns); rows that are out already are ignored."""
        if found.is_empty():
            return
        reasons = found["reason"].unique().to_list()
        where = self.rows.select("row_id", pl.col("file").cast(pl.String), "line")
        standing = found.select(list(FINDING)).join(where, on="row_id", how="inner", maintain_order="left")
        acted = standing.with_columns(
            action=pl.col("reason").replace_strict(
                {reason: self.action(reason) for reason in reasons}, return_dtype=pl.String
            )
        )
        out = acted.filter(~pl.col("action").is_in(KEPT)).unique("row_id", keep="first", maintain_order=True)
        noted = acted.filter(pl.col("action").is_in(KEPT)).unique(
            ["row_id", "reason"], keep="first", maintain_order=True
        )
        if out.height:
            self._take_out(out)
        if noted.height:
            self.found.append(deep_copy(noted))

    def _take_out(self, out: pl.DataFrame) -> None:
        taken = self.rows.join(out.select("row_id"), on="row_id", how="semi", maintain_order="left")
        texts = self.texts(taken)
        begun = pl.DataFrame([taken["row_id"], excerpts(texts["prompt"]), excerpts(texts["completion"])])
        self.found.append(deep_copy(out.join(begun, on="row_id", how="left", maintain_order="left")))
        self.rows = self.rows.join(out, on="row_id", how="anti", maintain_order="left")

    @property
    def refused(self) -> pl.DataFrame:
        """Every row taken out, once, in the source's order, with its mend and its redacted texts' beginning (OUT)."""
        return self._table(~pl.col("action").is_in(KEPT)).select(OUT)

    @property
    def notes(self) -> pl.DataFrame:
        """Every note on a row that was kept: row_id, file, line, reason, detail, action."""
        return (
            self._table(pl.col("action").is_in(KEPT))
            .select(OUT[:6])
            .join(self.rows.select("row_id"), on="row_id", how="semi", maintain_order="left")
        )

    def _table(self, which: pl.Expr) -> pl.DataFrame:
        texts = {"file": pl.String, "line": pl.Int64, "action": pl.String, "prompt": pl.String, "completion": pl.String}
        whole = pl.concat([pl.DataFrame(schema=FINDING | texts), *self.found], how="diagonal").filter(which)
        mends = {reason: REASONS[reason].mend for reason in whole["reason"].unique()}
        return whole.with_columns(mend=pl.col("reason").replace_strict(mends, return_dtype=pl.String)).sort(
            "row_id", "reason"
        )

    @property
    def counted(self) -> int:
        """Rows that count against data.refuse_above."""
        return self.refused.filter(pl.col("action") == "refuse").height


def tally(table: pl.DataFrame) -> dict[str, int]:
    """Return reason -> rows, the most frequent first."""
    counts = table.group_by("reason").len().sort(["len", "reason"], descending=[True, False])
    return {reason: int(count) for reason, count in counts.iter_rows()}
