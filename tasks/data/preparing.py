"""The data room from end to end: read, check, split, write."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

import polars as pl

from schemas.artifacts import DataArtifact
from schemas.errors import DatasetRefused, TuneworthyError
from schemas.rows import KeptRows
from tasks.answers.contract import DATABASE, JSON_SCHEMA, Check, contract_of
from tasks.data import overlap
from tasks.data.balance import unbalanced
from tasks.data.changes import changes_between, last_time
from tasks.data.contract import broken_answers, broken_rows
from tasks.data.corpus import read_corpus
from tasks.data.doubts import doubtful_rows
from tasks.data.languages import other_languages, with_languages
from tasks.data.nearness import near_pairs
from tasks.data.own_checks import own_findings, read_own_checks
from tasks.data.personal import KINDS, masked_rows, personal_rows
from tasks.data.reading import read_rows
from tasks.data.refusing import by_reason, dataset_name, refuse_if_above
from tasks.data.reporting import report_of
from tasks.data.sieve import Sieve, tally
from tasks.data.speech import spoken
from tasks.data.splitting import own_group, split
from tasks.data.turns import asked, opening

if TYPE_CHECKING:
    from schemas.artifacts import Sources
    from schemas.config import DataConfig
    from schemas.task_config import TaskConfig
    from tasks.stage import Bench

ADVISED = 500  # train rows; fewer often teach the form only, which is advice and no reason to refuse


def prepare_data(task: TaskConfig, data: DataConfig, seed: int, sources: Sources, bench: Bench) -> DataArtifact:
    """Check and split the rows, write everything that is sealed into `bench.out`, and return the artifact's facts.

    Raises:
        DatasetRefused: the rows cannot be read, too many are refused, or they cannot be split.
        ConfigRefused: the answer's contract cannot be used.
        TuneworthyError: a source changed after the run began.
    """
    _check_unchanged(sources, bench)
    _copy_contract(task, sources, bench.out)
    corpus = read_corpus(sources.corpus) if sources.corpus else None
    sieve, train, held_out = _sifted(task, data, seed, sources, bench)
    _write_rows(train, held_out, sieve, bench.out)
    if corpus is not None:
        _write(corpus, bench.out / "corpus.parquet")
    report = report_of(sieve, train, held_out, corpus, task)
    _write_json(report, bench.out / "report.json")
    _tell(sieve, train, held_out, report, bench)
    refused = sieve.refused
    return DataArtifact(
        train_rows=train.height,
        held_out_rows=held_out.height,
        refused_rows=refused.height,
        reasons=tally(refused),
        documents=0 if corpus is None else corpus.height,
    )


def _check_unchanged(sources: Sources, bench: Bench) -> None:
    for file in (*sources.rows, *sources.corpus, *filter(None, (sources.answer, sources.checks))):
        if not Path(file.path).is_file() or bench.store.file_digest(Path(file.path)) != file.digest:
            raise TuneworthyError(f"{file.path} changed or went away after the run began. Run again.")


def _copy_contract(task: TaskConfig, sources: Sources, out: Path) -> None:
    if sources.answer is not None:
        shutil.copyfile(sources.answer.path, out / (DATABASE if task.answer.format == "sql" else JSON_SCHEMA))


def _sifted(task: TaskConfig, data: DataConfig, seed: int, sources: Sources, bench: Bench) -> tuple[Sieve, pl.DataFrame, pl.DataFrame]:
    """Return the sieve with every finding in it, the train rows, and the held-out rows."""
    check, name = contract_of(task, bench.out), dataset_name(sources.rows)
    own = read_own_checks(Path(sources.checks.path), data.group is not None) if sources.checks else None
    read, layouts = read_rows(sources.rows, data, own)
    bench.audience.say(f"data: {name}: {read.height} rows, layout {' and '.join(layouts)}")
    sieve = Sieve(read, {str(reason): action for reason, action in data.checks.items()})
    _sift_rows(sieve, task, data, check, bench)
    _sift_repeats(sieve)
    refuse_if_above(sieve, name, data.refuse_above, bench.folder)
    train, held_out = split(sieve.rows, seed, data.held_out)
    sieve.sift(overlap.in_held_out(train, held_out))
    pairs = near_pairs(sieve.rows["said"], data.near_duplicate, lambda done, total: bench.audience.advance(done, total, "rows compared"))
    sieve.sift(overlap.near_rows(sieve.rows, pairs, held_out, task.answer.format == "choice"))
    refuse_if_above(sieve, name, data.refuse_above, bench.folder)
    return sieve, _standing(train, sieve, "train"), _standing(held_out, sieve, "held-out")


def _sift_rows(sieve: Sieve, task: TaskConfig, data: DataConfig, check: Check, bench: Bench) -> None:
    """Judge each row by itself."""
    sieve.sift(sieve.rows.filter(pl.col("reason").is_not_null()))
    sieve.sift(personal_rows(sieve.rows))
    sieve.rows = masked_rows(sieve.rows, [kind for kind in KINDS if sieve.action(kind) == "mask"])
    sieve.rows = sieve.rows.with_columns(said=spoken(asked(sieve.rows)))
    if data.group is None:
        sieve.rows = sieve.rows.with_columns(own_group(opening(sieve.rows).fill_null("")))
    sieve.sift(broken_rows(sieve.rows))
    sieve.sift(own_findings(sieve.rows))
    sieve.sift(overlap.extra_keys(sieve.rows))
    sieve.sift(broken_answers(sieve.rows, check, lambda done, total: bench.audience.advance(done, total, "answers checked")))
    sieve.sift(doubtful_rows(sieve.rows, task.answer.format == "text", task.instruction))
    sieve.rows = with_languages(sieve.rows, task.answer.format == "text")
    sieve.sift(other_languages(sieve.rows))


def _sift_repeats(sieve: Sieve) -> None:
    """Judge rows by the rows before and after them."""
    sieve.sift(overlap.repeated_ids(sieve.rows))
    sieve.rows = overlap.with_keys(sieve.rows)
    sieve.sift(overlap.exact_duplicates(sieve.rows))
    sieve.sift(overlap.conflicting_answers(sieve.rows))


def _standing(side: pl.DataFrame, sieve: Sieve, what: str) -> pl.DataFrame:
    left = side.join(sieve.rows.select("row_id"), on="row_id", how="semi", maintain_order="left")
    if left.is_empty():
        raise DatasetRefused(f"The {what} set is empty: all of its {side.height} rows were taken out after the split. {by_reason(sieve.refused)}.")
    return left


def _write_rows(train: pl.DataFrame, held_out: pl.DataFrame, sieve: Sieve, out: Path) -> None:
    for side, rows in (("train", train), ("held_out", held_out)):
        kept = rows.select(list(KeptRows.to_schema().columns))
        KeptRows.validate(kept)
        _write(kept, out / f"{side}.parquet")
    _write(sieve.refused, out / "refused.parquet")
    _write(sieve.notes, out / "notes.parquet")


def _write(frame: pl.DataFrame, path: Path) -> None:
    # Every choice is named, so that the bytes do not depend on a default.
    frame.write_parquet(path, compression="zstd", compression_level=3, statistics=False, row_group_size=100_000)


def _write_json(value: dict[str, Any], path: Path) -> None:
    path.write_text(json.dumps(value, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def _tell(sieve: Sieve, train: pl.DataFrame, held_out: pl.DataFrame, report: dict[str, Any], bench: Bench) -> None:
    bench.audience.say(f"data: {sieve.read} rows read, {train.height} to train on, {held_out.height} held out, {sieve.refused.height} taken out")
    for what, table in (("taken out", sieve.refused), ("noted", sieve.notes)):
        if table.height:
            bench.audience.say(f"data: {what}: {by_reason(table)}")
    if train.height < ADVISED:
        bench.audience.say(f"data: {train.height} train rows; below {ADVISED} a tuned model often learns the form of answers and little else")
    for line in unbalanced(report["labels"]["balance"]) if report["labels"] else []:
        bench.audience.say(f"data: labels: {line}")
    before = last_time(bench.store)
    if before is not None:
        bench.audience.say(f"data: since the last time: {changes_between(before, bench.out)}")
