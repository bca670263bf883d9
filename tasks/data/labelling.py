"""A teacher answers the rows with a request only; what it says has to meet the contract and to agree with itself."""

from __future__ import annotations

import json
import shutil
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import polars as pl

from schemas.artifacts import LabelsArtifact
from schemas.errors import DatasetRefused
from tasks.answers.contract import FILES, contract_of
from tasks.answers.scoring import Scorer
from tasks.data.checking.personal import KINDS, masked_rows, personal_rows
from tasks.data.checking.sieve import Sieve
from tasks.data.layouts.ledger import Ledger
from tasks.data.reading.fetching import as_line
from tasks.data.reading.frames import Reading, read_rows
from tasks.data.reading.teaching import is_open
from tasks.data.text.normalisation import normalised
from tasks.data.text.turns import full_request
from tasks.inference.endpoint import Endpoint, Reply
from tasks.inference.prompts.rendering import row_messages

if TYPE_CHECKING:
    from schemas.sections.data import DataConfig
    from schemas.sections.endpoints import EndpointConfig
    from schemas.sections.task import TaskConfig
    from schemas.sources import Sources
    from tasks.reuse.stage import WorkDirectory

AGREES = 1 - 1e-9  # the score of an answer that agrees
ANSWERED = "another row with the same request comes first"


def label(
    task: TaskConfig,
    data: DataConfig,
    teacher: EndpointConfig,
    max_new_tokens: int,
    sources: Sources,
    workdir: WorkDirectory,
) -> LabelsArtifact:
    """Ask the teacher for an answer to each row without one, and write which are kept and why the others are not.

    Rows that personal data or secrets take out are not sent; what is masked in the data is masked before it is sent.

    Raises:
        DatasetRefused: the rows cannot be read, or every row has an answer.
        EndpointFailed: the teacher does not answer as it was asked; what it answered is kept.
    """
    if sources.answer is not None:
        shutil.copyfile(sources.answer.path, workdir.out / FILES[task.answer.format])
    rows, again = _open_rows(data, sources)
    if rows.is_empty():
        raise DatasetRefused("data.teacher: every row has an answer, so there is nothing to label; leave it out.")
    asker = Endpoint(data.teacher or "", teacher, max_new_tokens, workdir.store, workdir.reporter)
    instruction = teacher.instruction or task.instruction
    asked = rows.select("prompt", "history", "tools").iter_rows()
    conversations = [row_messages(instruction, prompt, history, tools) for prompt, history, tools in asked]
    samples = [asker.ask(conversations, number) for number in range(data.teacher_samples)]
    why = _why_not(task, data.teacher_agreement, rows["row_id"].to_list(), samples, workdir.out)
    texts = [reply.text for reply in samples[0]]
    found = rows.select("row_id").with_columns(
        answer=pl.Series([None if reason else text for text, reason in zip(texts, why, strict=True)], dtype=pl.String),
        why=pl.Series(why, dtype=pl.String),
    )
    repeated = again.select("row_id", answer=pl.lit(None, dtype=pl.String), why=pl.lit(ANSWERED))
    pl.concat([found, repeated]).sort("row_id").write_parquet(workdir.out / "labels.parquet")
    _write_for_people(rows, samples, why, workdir.out)
    left_out = Counter(filter(None, why))
    kept = len(why) - left_out.total()
    workdir.reporter.say(
        f"teacher {data.teacher}: {len(why)} rows with a request only, {kept} answers kept"
        + "".join(f"; {count} not: {reason}" for reason, count in left_out.most_common())
    )
    return LabelsArtifact(
        teacher=data.teacher or "",
        model=teacher.model,
        asked=len(why),
        kept=kept,
        left_out=dict(left_out.most_common()),
    )


def _open_rows(data: DataConfig, sources: Sources) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Return the rows that are to be answered, and those whose request has an answer or stands in an earlier one."""
    reading, pieces = Reading(data, Ledger(data, as_line), None), list[pl.DataFrame]()
    actions = {str(reason): action for reason, action in data.checks.items()}
    for piece in read_rows(sources.every_row, reading):
        sieve = Sieve(piece.rows, actions, piece.rows.height)
        sieve.sift(personal_rows(piece.rows))
        rows = masked_rows(sieve.rows, [kind for kind in KINDS if sieve.action(kind) == "mask"])
        pieces.append(rows.select("row_id", "history", "prompt", "tools", is_open=is_open()).drop_nulls("prompt"))
    rows = pl.concat(pieces).with_columns(asks=normalised(full_request(pl.concat(pieces))).hash())
    first = rows.sort("is_open", "row_id").unique("asks", keep="first", maintain_order=True)
    waiting = rows.filter("is_open")
    return tuple(waiting.join(first, on="row_id", how=how, maintain_order="left") for how in ("semi", "anti"))  # type: ignore[return-value]


def _why_not(
    task: TaskConfig, agreement: float, row_ids: Sequence[int], samples: Sequence[Sequence[Reply]], out: Path
) -> list[str | None]:
    """Return why each row's first answer is not kept; None where it is."""
    check, scorer = contract_of(task, out), Scorer.for_task(task, out)
    first, others = samples[0], samples[1:]
    pairs = [(row, other[place].text, first[place].text) for place, row in enumerate(row_ids) for other in others]
    agrees = iter(mark.score >= AGREES for mark in scorer.score_rows(pairs))
    found = list[str | None]()
    for reply in first:
        same = 1 + sum(next(agrees) for _ in others)
        breach = check(reply.text)
        if reply.is_refusal:
            found.append("the teacher refused")
        elif reply.finish == "length":
            found.append("cut off at arms.max_new_tokens")
        elif breach is not None:
            found.append(f"breaks the contract ({breach.reason})")
        elif same < agreement * len(samples):
            found.append(f"fewer than {agreement:.0%} of {len(samples)} samples agree")
        else:
            found.append(None)
    return found


def _write_for_people(
    rows: pl.DataFrame, samples: Sequence[Sequence[Reply]], why: Sequence[str | None], out: Path
) -> None:
    """Write one line a row: request, answer, whether and why it is kept, and the other samples where there are any."""
    with (out / "labels.jsonl").open("w", encoding="utf-8") as stream:
        for place, (prompt, history) in enumerate(rows.select("prompt", "history").iter_rows()):
            line: dict[str, Any] = {"prompt": prompt, "completion": samples[0][place].text, "kept": why[place] is None}
            line |= {"why_not": why[place]} if why[place] else {}
            line |= {"history": history} if history else {}
            line |= {"samples": [other[place].text for other in samples[1:]]} if len(samples) > 1 else {}
            stream.write(json.dumps(line, ensure_ascii=False) + "\n")
