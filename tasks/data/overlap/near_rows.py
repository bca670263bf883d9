"""What is found on rows that nearly repeat each other, and which of them are still on both sides in the end."""

from __future__ import annotations

import numpy as np
import polars as pl

from tasks.data.checking.sieve import FINDING
from tasks.data.overlap.repeats import rows_repeating
from tasks.data.overlap.ties import Ties, clustered

TWINS = pl.Schema({"held_out": pl.Int64, "train": pl.Int64, "similarity": pl.Float64})


def paired(rows: pl.DataFrame, pairs: pl.DataFrame, ties: Ties) -> pl.DataFrame:
    """Return each pair by its rows' numbers (one before other), with the side of each, whether it is a bridge
    (tasks.data.overlap.ties), whether the answers differ, and the similarity.

    Args:
        rows: need row_id, answered, is_held_out.
        pairs: positions in `rows` (tasks.data.overlap.near_duplicates.near_pairs).
        ties: of the same rows.
    """
    first, second = pairs["first"], pairs["second"]
    return pl.DataFrame(
        {
            "one": rows["row_id"].gather(first),
            "other": rows["row_id"].gather(second),
            "one_held": rows["is_held_out"].gather(first),
            "other_held": rows["is_held_out"].gather(second),
            "one_bridge": np.isin(first.to_numpy(), ties.bridges),
            "other_bridge": np.isin(second.to_numpy(), ties.bridges),
            "differs": rows["answered"].gather(first) != rows["answered"].gather(second),
            "similarity": pairs["similarity"],
        }
    )


def near_rows(row_ids: pl.Series, pairs: pl.DataFrame, is_choice: bool) -> pl.DataFrame:
    """Return the findings on near-duplicate requests.

    A bridge is near_held_out, and so is every train row that nearly repeats a held-out row, directly or through other
    rows, also through those that have left: only some pairs of a cluster are listed. Of two rows on one side the later
    one is a near_duplicate; in a choice task, a row whose twin has another label is a label_doubt too.

    Args:
        row_ids: of the rows that are left; the findings are on these.
        pairs: as `paired` gives them.
        is_choice: the answer is a label.
    """
    left = _among(pairs, row_ids)
    has_bridge = pl.col("one_bridge") | pl.col("other_bridge")
    plain = left.filter(~has_bridge)
    bridging = _directed(pairs.filter(has_bridge))
    bridges = bridging.filter(pl.col("bridge") & pl.col("twin_held") & ~pl.col("twin_bridge"))
    crossing = _crossing(plain)
    parts = [
        _alike(pl.concat([bridges, crossing]), "near_held_out", "{}% similar to held-out row {}"),
        _linked(_in_clusters(pairs.filter(~has_bridge), row_ids), crossing["row_id"]),
        _alike(_later(plain, pl.col("one_held") == pl.col("other_held")), "near_duplicate", "{}% similar to row {}"),
    ]
    if is_choice:
        doubts = _later(left, pl.col("differs"))
        parts.append(_alike(doubts, "label_doubt", "{}% similar to row {}, which has another label"))
    return pl.concat(parts)


def twins_on_both_sides(rows: pl.DataFrame, pairs: pl.DataFrame) -> pl.DataFrame:
    """Return the pairs of a held-out row and a train row with the same request, or nearly the same (TWINS' columns).
    A held-out row that is linked to train rows through others only is paired with the first of them, and the
    similarity is null.

    Args:
        rows: those that are left in the end; need row_id, asked, is_held_out.
        pairs: as `paired` gives them.
    """
    near = _crossing(_among(pairs, rows["row_id"])).select(held_out="twin", train="row_id", similarity="similarity")
    again = rows_repeating(rows.select("row_id", "asked", "is_held_out"), "asked")
    train = again.filter(~pl.col("is_held_out")).unique("asked", keep="first", maintain_order=True)
    equal = again.filter("is_held_out").join(train, on="asked", how="inner")
    exact = equal.select(held_out="row_id", train="row_id_right", similarity=pl.lit(1.0))
    direct = pl.concat([exact, near]).cast(TWINS).unique(["held_out", "train"], keep="first")
    linked = _linked_twins(rows["row_id"], pairs).join(direct, on="held_out", how="anti")
    return pl.concat([direct, linked]).sort("held_out", "train")


def _linked_twins(row_ids: pl.Series, pairs: pl.DataFrame) -> pl.DataFrame:
    """Return each held-out row left with the first train row that it is linked to; bridges that left link nothing."""
    left = row_ids.implode()
    bridged = [pl.col(f"{row}_bridge") & ~pl.col(row).is_in(left) for row in ("one", "other")]
    rows = _in_clusters(pairs.filter(~pl.any_horizontal(bridged)), row_ids)
    first = rows.filter(~pl.col("held")).group_by("cluster").agg(train=pl.col("row_id").min())
    found = rows.filter("held").join(first, on="cluster")
    return found.select(held_out="row_id", train="train", similarity=pl.lit(None)).cast(TWINS)


def _among(pairs: pl.DataFrame, row_ids: pl.Series) -> pl.DataFrame:
    left = row_ids.implode()
    return pairs.filter(pl.col("one").is_in(left) & pl.col("other").is_in(left))


def _directed(pairs: pl.DataFrame) -> pl.DataFrame:
    """Return each pair twice: each row with its twin."""
    ways = (("one", "other"), ("other", "one"))
    return pl.concat(
        [
            pairs.select(
                "similarity",
                row_id=row,
                held=f"{row}_held",
                bridge=f"{row}_bridge",
                twin=twin,
                twin_held=f"{twin}_held",
                twin_bridge=f"{twin}_bridge",
            )
            for row, twin in ways
        ]
    )


def _crossing(pairs: pl.DataFrame) -> pl.DataFrame:
    """Return each train row whose twin is held out."""
    return _directed(pairs.filter(pl.col("one_held") != pl.col("other_held"))).filter("twin_held")


def _in_clusters(pairs: pl.DataFrame, row_ids: pl.Series) -> pl.DataFrame:
    """Return those of the rows that are in a pair: row_id, held, and the cluster that the pairs link them to."""
    clusters = clustered(pairs["one"].to_numpy(), pairs["other"].to_numpy())
    rows = _directed(pairs).select("row_id", "held").unique("row_id")
    return rows.filter(pl.col("row_id").is_in(row_ids.implode())).join(clusters, on="row_id")


def _linked(rows: pl.DataFrame, crossing: pl.Series) -> pl.DataFrame:
    """Return the train rows (of `_in_clusters`) that are linked to a held-out row through other rows only."""
    held = rows.filter("held").group_by("cluster").agg(other=pl.col("row_id").min())
    found = rows.filter(~pl.col("held") & ~pl.col("row_id").is_in(crossing.implode())).join(held, on="cluster")
    detail = pl.format("similar to rows that are similar to held-out row {}", "other")
    return found.sort("row_id").select("row_id", reason=pl.lit("near_held_out"), detail=detail).select(list(FINDING))


def _later(pairs: pl.DataFrame, which: pl.Expr) -> pl.DataFrame:
    return pairs.filter(which).select(row_id="other", twin="one", similarity="similarity")


def _alike(found: pl.DataFrame, reason: str, detail: str) -> pl.DataFrame:
    alike = (pl.col("similarity") * 100).floor().cast(pl.Int64)
    best = found.select("row_id", "twin", alike=alike).sort(
        ["row_id", "alike", "twin"], descending=[False, True, False]
    )
    best = best.unique("row_id", keep="first", maintain_order=True)
    return best.select("row_id", reason=pl.lit(reason), detail=pl.format(detail, "alike", "twin")).select(list(FINDING))
