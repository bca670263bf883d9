"""Preparing the data from end to end: read, check, split, write."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

import polars as pl

from schemas.artifacts import DataArtifact, LabelsArtifact
from schemas.errors import DatasetRefused, TuneworthyError
from tasks.answers.contract import FILES, Check, contract_of
from tasks.answers.scoring import Scorer
from tasks.data.checking.answers import sift_preferences, sift_traces, traces_in, write_unwanted
from tasks.data.checking.contract import broken_answers, broken_rows, further_answers, unasked_calls, with_tools
from tasks.data.checking.heuristics import suspicious_rows
from tasks.data.checking.languages import index_language, other_languages, with_languages
from tasks.data.checking.own_checks import own_findings, read_own_checks
from tasks.data.checking.personal import KINDS, masked_rows, personal_rows
from tasks.data.checking.refusing import by_reason, dataset_name, refuse_if_above
from tasks.data.checking.sieve import Sieve, tally
from tasks.data.layouts.ledger import Ledger
from tasks.data.overlap import duplicates
from tasks.data.overlap.near_duplicates import near_pairs
from tasks.data.overlap.near_rows import near_rows, paired, twins_on_both_sides
from tasks.data.overlap.ties import tie, untied
from tasks.data.reading.corpus import read_corpus
from tasks.data.reading.fetching import as_line
from tasks.data.reading.frames import Reading, read_rows
from tasks.data.reading.spool import NormalisedRequests, Spool, spooling, tied_groups, write_sides
from tasks.data.reading.teaching import taught, taught_held_out
from tasks.data.reporting.changes import changes_between, last_time
from tasks.data.reporting.report_json import report_of
from tasks.data.reporting.report_lines import report_lines
from tasks.data.splitting import held_out_of, own_group, refuse_one_sided
from tasks.data.text.normalisation import normalised
from tasks.data.text.turns import full_request, opening

if TYPE_CHECKING:
    from schemas.sections.data import DataConfig
    from schemas.sections.task import TaskConfig
    from schemas.sources import Sources
    from tasks.reuse.stage import WorkDirectory

TRIED = 20  # held-out rows on which a scorer of the user's own is tried


Learned = tuple[str, str | None, pl.DataFrame | None]  # thinking, objective, a teacher's answers


def prepare_data(
    task: TaskConfig, data: DataConfig, seed: int, sources: Sources, workdir: WorkDirectory, thinking: str = "off",
    objective: str | None = None, labels: LabelsArtifact | None = None,
) -> DataArtifact:  # fmt: skip
    """Check and split the rows, write everything to be sealed into `workdir.out`, and return the artifact's facts.

    Raises:
        DatasetRefused: the rows cannot be read, too many are refused, or they cannot be split.
        ConfigRefused: the answer's contract cannot be used.
        TuneworthyError: a source changed after the run began.
    """
    _check_unchanged(sources, workdir)
    if sources.answer is not None:
        shutil.copyfile(sources.answer.path, workdir.out / FILES[task.answer.format])
    corpus, unread = read_corpus(sources.corpus, data.refuse_above) if sources.corpus else (None, [])
    ledger = Ledger(data, as_line)
    with spooling(workdir.folder / "spool") as spool:
        answers = pl.read_parquet(workdir.open(labels) / "labels.parquet") if labels else None
        sieve = _sifted(task, data, seed, sources, spool, ledger, workdir, (thinking, objective, answers))
        tied = tied_groups(spool, sieve.rows)
        write_sides(spool, sieve.rows, tied, workdir.out)
    write_unwanted(sieve.unwanted, pl.read_parquet(workdir.out / "held_out.parquet"), workdir.out, objective)
    _try_scorer(task, workdir.out)
    _write(tied.select("row_id", group="own"), workdir.out / "tied.parquet")
    refused, train = sieve.refused, workdir.out / "train.parquet"
    _write(refused, workdir.out / "refused.parquet")
    _write(sieve.notes, workdir.out / "notes.parquet")
    held = sieve.rows.filter("is_held_out").select("row_id")
    also = pl.concat(sieve.also).join(held, on="row_id", how="semi", maintain_order="left")
    if also.height:
        _write(also, workdir.out / "also_right.parquet")
    if labels is not None:
        _write(sieve.rows.filter("is_taught").select("row_id"), workdir.out / "taught.parquet")
    if corpus is not None:
        _write(corpus, workdir.out / "corpus.parquet")
    report = report_of(sieve, corpus, task, data.held_out, workdir.out)
    report |= ledger.as_json | {"unread_documents": unread}
    _write_json(report, workdir.out / "report.json")
    before = last_time(workdir.store)
    since = changes_between(before, workdir.out) if before is not None else None
    for line in (*report_lines(sieve, report, data, since), *traces_in(workdir.out / "train.parquet")):
        workdir.reporter.say(f"data: {line}")
    return DataArtifact(
        train_rows=report["rows"]["train"],
        held_out_rows=report["rows"]["held_out"],
        refused_rows=refused.height,
        reasons=tally(refused),
        documents=0 if corpus is None else corpus.height,
        teacher=labels.teacher if labels else "",
        taught_rows=report["taught"]["train"],
        taught_held_out=report["taught"]["held_out"],
        language=index_language(corpus["text"] if corpus is not None else pl.read_parquet(train)["prompt"]),
    )


def _check_unchanged(sources: Sources, workdir: WorkDirectory) -> None:
    for file in sources.every_file:
        if not Path(file.path).is_file() or workdir.store.file_digest(Path(file.path)) != file.digest:
            raise TuneworthyError(f"{file.path} was changed or removed after the run began. Run again.")


def _try_scorer(task: TaskConfig, out: Path) -> None:
    """Let a scorer of the user's own score references against themselves, before anything is spent on answers."""
    if task.scorer is not None:
        rows = pl.read_parquet(out / "held_out.parquet").head(TRIED).select("row_id", "completion").iter_rows()
        Scorer.for_task(task, out).score_rows((row, gold, gold) for row, gold in rows)


def _sifted(
    task: TaskConfig, data: DataConfig, seed: int, sources: Sources, spool: Spool, ledger: Ledger,
    workdir: WorkDirectory, learned: Learned,
) -> Sieve:  # fmt: skip
    """Return the sieve with all findings; what is left is fingerprints (`_compact`), with the texts in the spool."""
    name = dataset_name(sources.rows)
    sieve = _sifted_alone(task, data, seed, sources, spool, ledger, workdir, learned)
    _sift_repeats(sieve)
    refuse_if_above(sieve, name, data.refuse_above, workdir)
    pairs = _tied(sieve, data, spool, workdir)
    # Only now: a row tells which rows belong together even where it is refused because of another row.
    sieve.sift(duplicates.conflicting_answers(sieve.rows))
    refuse_if_above(sieve, name, data.refuse_above, workdir)
    sieve.sift(taught_held_out(sieve.rows, data.teacher_held_out))
    refuse_one_sided(sieve.rows, data.held_out)
    whole = _sides(sieve)
    near = near_rows(sieve.rows["row_id"], pairs, task.answer.format == "choice")
    sieve.sift(pl.concat([duplicates.in_held_out(sieve.rows), near]))
    refuse_if_above(sieve, name, data.refuse_above, workdir)
    _refuse_emptied(whole, sieve)
    sieve.sift(duplicates.constant_answers(sieve.rows))
    if task.answer.format == "choice":
        sieve.sift(duplicates.unlearnable_labels(sieve.rows))
    _write(twins_on_both_sides(sieve.rows, pairs), workdir.out / "twins.parquet")
    return sieve


def _tied(sieve: Sieve, data: DataConfig, spool: Spool, workdir: WorkDirectory) -> pl.DataFrame:
    """Give each row the group and side that near-duplicates leave it; return the pairs (see near_rows.paired)."""
    rows, reporter = sieve.rows, workdir.reporter
    pairs = near_pairs(
        NormalisedRequests(spool, rows["place"]),
        data.near_duplicate,
        lambda done, total: reporter.advance(done, total, "rows compared"),
    )
    own = rows["grouped"].to_numpy()
    ties = (
        tie(own, rows["is_held_out"].to_numpy(), pairs)
        if data.tie_near_duplicates and not data.has_own_sides
        else untied(rows.height)
    )
    led = rows.select("grouped", "is_held_out", leader="place")[ties.leaders]
    sieve.rows = rows.with_columns(
        led["grouped"], led["is_held_out"], leader=pl.when(led["grouped"] != rows["grouped"]).then(led["leader"])
    )
    return paired(sieve.rows, pairs, ties)


def _sifted_alone(
    task: TaskConfig, data: DataConfig, seed: int, sources: Sources, spool: Spool, ledger: Ledger,
    workdir: WorkDirectory, learned: Learned,
) -> Sieve:  # fmt: skip
    """Check the rows piece by piece, each row by itself, and write those that pass to the spool."""
    check, actions = contract_of(task, workdir.out), {str(reason): action for reason, action in data.checks.items()}
    whole, layouts, left = Sieve(pl.DataFrame(), actions, 0, spool.texts_of), dict[str, None](), list[pl.DataFrame]()
    own = read_own_checks(Path(sources.checks.path), data.group is not None) if sources.checks else None
    for piece in read_rows(sources.every_row, Reading(data, ledger, own, sources.completions)):
        layouts[piece.layout] = None
        is_test = pl.lit(piece.file >= len(sources.rows))
        rows = taught(piece.rows.with_columns(held=is_test) if sources.held_out else piece.rows, learned[2])
        sieve = Sieve(rows, actions, rows.height)
        sift_traces(sieve, learned[0])
        whole.unwanted.append(sift_preferences(sieve, learned[1]))
        _sift_rows(sieve, task, data, check, workdir)
        whole.also.append(further_answers(sieve, check))
        left.append(_compact(sieve.rows, spool.add(sieve.rows), seed, data))
        whole.read, whole.found = whole.read + sieve.read, whole.found + sieve.found
    whole.rows = pl.concat(left)
    workdir.reporter.say(f"data: {dataset_name(sources.rows)}: {whole.read} rows, layout {' and '.join(layouts)}")
    for line in ledger.in_words:
        workdir.reporter.say(f"data: {line}")
    return whole


def _compact(rows: pl.DataFrame, places: pl.Series, seed: int, data: DataConfig) -> pl.DataFrame:
    """Return what stays in memory of a row: place, fingerprints, side, languages, lengths; 80 bytes with an id."""
    return duplicates.with_keys(rows).select(
        "row_id",
        pl.col("file").cast(pl.Categorical),
        "line",
        "asked",
        "answered",
        "repeats",
        *(["id"] if data.id else []),
        pl.col("prompt_language", "completion_language").cast(pl.Categorical),
        grouped=pl.col("group").hash(seed=4),
        is_held_out=pl.col("held") if data.has_own_sides else _drawn(rows, seed, data),
        is_taught="is_taught",
        place=places,
        prompt_characters=pl.col("prompt").str.len_chars(),
        completion_characters=pl.col("completion").str.len_chars(),
    )


def _drawn(rows: pl.DataFrame, seed: int, data: DataConfig) -> pl.Series:
    """Return which rows the draw holds out: of rows without named groups, none that a teacher answered."""
    drawn = held_out_of(rows["group"], seed, data.held_out)
    return drawn if data.group or data.teacher_held_out else drawn & ~rows["is_taught"]


def _sift_rows(sieve: Sieve, task: TaskConfig, data: DataConfig, check: Check, workdir: WorkDirectory) -> None:
    """Check each row by itself."""
    sieve.sift(sieve.rows.filter(pl.col("reason").is_not_null()))
    if task.answer.format != "tool_call":
        sieve.sift(unasked_calls(sieve.rows))
    elif task.answer.tools is not None:
        sieve.rows = with_tools(sieve.rows, workdir.out)
    sieve.sift(personal_rows(sieve.rows))
    sieve.rows = masked_rows(sieve.rows, [kind for kind in KINDS if sieve.action(kind) == "mask"])
    sieve.rows = sieve.rows.with_columns(normalised=normalised(full_request(sieve.rows)))
    if data.group is None:
        sieve.rows = sieve.rows.with_columns(own_group(opening(sieve.rows).fill_null("")))
    sieve.sift(broken_rows(sieve.rows))
    sieve.sift(own_findings(sieve.rows))
    sieve.sift(duplicates.extra_keys(sieve.rows))
    sieve.sift(
        broken_answers(sieve.rows, check, lambda done, total: workdir.reporter.advance(done, total, "answers checked"))
    )
    sieve.sift(suspicious_rows(sieve.rows, task.answer.format == "text", task.instruction))
    sieve.rows = with_languages(sieve.rows, task.answer.format == "text")


def _sift_repeats(sieve: Sieve) -> None:
    """Check rows against all others, for what takes out none but the later ones."""
    sieve.sift(other_languages(sieve.rows))
    sieve.sift(duplicates.repeated_ids(sieve.rows))
    sieve.sift(duplicates.exact_duplicates(sieve.rows))


def _sides(sieve: Sieve) -> dict[str, int]:
    held = int(sieve.rows["is_held_out"].sum())
    return {"train": sieve.rows.height - held, "held-out": held}


def _refuse_emptied(before: dict[str, int], sieve: Sieve) -> None:
    for what, left in _sides(sieve).items():
        if not left:
            raise DatasetRefused(
                f"The {what} set is empty: all its {before[what]} rows were taken out after the split. "
                f"{by_reason(sieve.refused)}."
            )


def _write(frame: pl.DataFrame, path: Path) -> None:
    # Every option is set, so that the bytes do not depend on defaults.
    frame.write_parquet(path, compression="zstd", compression_level=3, statistics=False, row_group_size=100_000)


def _write_json(value: dict[str, Any], path: Path) -> None:
    path.write_text(json.dumps(value, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
