"""What an answer has to be, told from the answers: labels, JSON objects, SQL, or text; and the metric that fits."""

from __future__ import annotations

import json
import sqlite3
import statistics
from collections import Counter
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from schemas.errors import ConfigRefused
from tasks.answers.database import Database, QueryFailed
from tasks.answers.objects import NotAnObject, read_object
from tasks.data.drafting.columns import LABELS, are_labels, is_query, mostly, spells_object
from tasks.data.drafting.guesses import Guess, Notes, Wishes, quoted
from tasks.data.drafting.json_schema import schema_of

FORMATS = ("text", "choice", "json", "sql")
DATABASES = ("*.sqlite", "*.sqlite3", "*.db", "*.db3")
TRIED = 200  # queries that are run on a database to see whether it is theirs
TABLES = 40  # tables that the instruction names
LONGEST = 4000  # characters: what the contract allows when nothing is set
WORDS = 3  # of an answer of the middle length, up to which only the very same answer counts


@dataclass
class Contract:
    """What an answer has to be.

    Attributes:
        format: text, choice, json or sql.
        guesses: of task.answer, task.metric and decision.target.
        instruction: what a model would have to be told for it.
        schema: JSON Schema to be written beside the config, or None.
        database: SQLite file that the queries run on, or None.
    """

    format: str
    guesses: list[Guess]
    instruction: str
    schema: dict[str, Any] | None = None
    database: Path | None = None
    remarks: list[str] = field(default_factory=list)


def find_contract(answers: Sequence[str], folder: Path, wishes: Wishes, notes: Notes) -> Contract | None:
    """Return what these answers are, or None with a question.

    Args:
        answers: as the rows have them.
        folder: where the rows lie; a database beside them is tried.
        wishes: may name the format and the database.
        notes: takes questions.
    """
    if wishes.answer is not None and wishes.answer not in FORMATS:
        notes.questions.append(f"--answer {wishes.answer}: what is an answer? One of {', '.join(FORMATS)}.")
        return None
    kind = wishes.answer or _kind(answers)
    if kind == "choice":
        return _choice(answers, notes)
    if kind == "json":
        return _json(answers, notes)
    return _sql(answers, folder, wishes, notes) if kind == "sql" else _text(answers)


def _kind(answers: Sequence[str]) -> str:
    if mostly(answers, is_query):
        return "sql"
    if mostly(answers, spells_object):
        return "json"
    return "choice" if are_labels(answers) else "text"


def _guesses(answer: Guess, metric: str, effect: str, target: float) -> list[Guess]:
    good = "An arm whose score is at least this, at 95% confidence, is good enough."
    asked = "Which score would be good enough to use it?"
    wanted = Guess("decision.target", target, effect=good, question=asked)
    return [answer, Guess("task.metric", metric, effect=effect), wanted]


def _choice(answers: Sequence[str], notes: Notes) -> Contract | None:
    counts = Counter(answer.strip() for answer in answers)
    if not 2 <= len(counts) <= LABELS:
        notes.questions.append(
            f"The answers are {len(counts):,} different texts, and a choice has 2 to {LABELS} labels. What is an "
            "answer? (--answer text)"
        )
        return None
    labels = sorted(counts)
    most, rows = counts.most_common(1)[0], len(answers)
    why = f"{len(labels)} different answers in {rows:,} rows, the longest of {max(map(len, labels))} characters"
    why += f"; the most frequent, {most[0]!r}, in {most[1] / rows:.0%}"
    effect = "Any other answer is refused in a row and wrong from a model."
    answer = Guess("task.answer", {"format": "choice", "labels": labels}, why, effect)
    folded = Counter(label.casefold() for label in labels)
    alike = [label for label in labels if folded[label.casefold()] > 1]
    rare = [label for label in labels if counts[label] == 1]
    remarks = [f"labels that differ in case only, and may be one: {quoted(alike)}"] if alike else []
    remarks += [f"labels that stand in one row only, and may be misspelt: {quoted(rare)}"] if rare else []
    instruction = f"Answer with one of these labels and nothing else: {', '.join(labels)}."
    guesses = _guesses(answer, "exact", "The share of answers that are the right label.", 0.9)
    return Contract("choice", guesses, instruction, remarks=remarks)


def _json(answers: Sequence[str], notes: Notes) -> Contract | None:
    objects = [value for value in map(_object, answers) if value is not None]
    if not objects:
        notes.questions.append("No answer is one JSON object. What is an answer? (--answer text)")
        return None
    schema = schema_of(objects)
    keys = list(schema.get("properties", {}))
    fixed = [key for key in keys if "enum" in schema["properties"][key]]
    why = f"{len(objects):,} of {len(answers):,} answers are JSON objects"
    why += f" with the keys {', '.join(keys[:20])}" if keys else ""
    effect = "The schema was derived from them: a key or kind of value that it lacks is refused."
    effect += f" Fixed sets of values: {', '.join(fixed)}; widen them where more may come." if fixed else ""
    answer = Guess("task.answer", {"format": "json", "json_schema": None}, why, effect)
    named = f", with the keys {', '.join(keys)}" if keys else ""
    instruction = f"Answer with one line of JSON and nothing else{named}."
    guesses = _guesses(answer, "json_fields", "The share of fields that are right.", 0.9)
    return Contract("json", guesses, instruction, schema)


def _object(answer: str) -> dict[str, Any] | None:
    try:
        return read_object(answer)
    except NotAnObject:
        return None


def _sql(answers: Sequence[str], folder: Path, wishes: Wishes, notes: Notes) -> Contract | None:
    beside = sorted(path for pattern in DATABASES for path in folder.glob(pattern))
    tried = {path: _share_that_runs(path, answers) for path in ([Path(wishes.database)] if wishes.database else beside)}
    running = [path for path, share in tried.items() if share > 0]
    if len(running) != 1 and not wishes.database:
        shown = "".join(f"\n       {path}: {share:.0%} of the queries run" for path, share in tried.items())
        notes.questions.append(
            f"The answers are SQL queries. On which SQLite database are they run? (--database FILE; or --answer text "
            f"to compare them as text){shown or f' None lies in {folder.absolute()}.'}"
        )
        return None
    database = Path(wishes.database) if wishes.database else running[0]
    tried_ones = min(TRIED, len(answers))
    why = f"the answers are queries; {tried[database]:.0%} of the first {tried_ones} run on it and give rows"
    effect = "A query that fails or gives no row is refused."
    answer = Guess("task.answer", {"format": "sql", "database": database}, why, effect)
    instruction = f"Translate the request to one SQLite query. Answer with the SQL only.\n{_tables(database)}"
    remarks = []
    if tried[database] < 0.99:
        remarks = ["queries that fail or give no row are refused; above data.refuse_above (0.01) the whole set is"]
    effect = "Equal rows count, however the query is written."
    return Contract("sql", _guesses(answer, "sql_execution", effect, 0.8), instruction, None, database, remarks)


def _share_that_runs(path: Path, answers: Sequence[str]) -> float:
    if not path.is_file():
        raise ConfigRefused(f"--database {path}: no such file.")
    try:
        database = Database(path, str(path))
    except ConfigRefused:
        return 0.0
    tried = answers[:TRIED]
    return sum(_runs(database, answer) for answer in tried) / len(tried)


def _runs(database: Database, query: str) -> bool:
    try:
        return bool(database.rows(query))
    except QueryFailed:
        return False


def _tables(path: Path) -> str:
    """Return the tables with their columns, a line each: a model that was never trained has to know them."""
    with closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro&immutable=1", uri=True)) as connection:
        tables = connection.execute(
            "SELECT m.name, group_concat(c.name, ', ') FROM sqlite_master m, pragma_table_info(m.name) c "
            "WHERE m.type IN ('table', 'view') AND m.name NOT LIKE 'sqlite_%' GROUP BY m.name ORDER BY m.name"
        ).fetchmany(TABLES)
    return "\n".join(f"{name}({columns})" for name, columns in tables)


def _text(answers: Sequence[str]) -> Contract:
    longest, words = max(map(len, answers)), statistics.median(len(answer.split()) for answer in answers)
    settings: dict[str, Any] = {"format": "text"}
    if longest > LONGEST:
        settings["max_characters"] = min(-(-longest // 1000) * 1000, 100_000)
    why = f"{len(set(answers)):,} different answers in {len(answers):,} rows, the middle one of {words:g} words: "
    why += "neither labels nor JSON nor SQL"
    answer = Guess("task.answer", settings, why, "Any text up to a length is allowed; pattern: narrows it.")
    exact = words <= WORDS
    effect = "Words in common with the answer in the row, from 0 to 1."
    effect = "Only the very same answer counts." if exact else effect
    guesses = _guesses(answer, "exact" if exact else "token_f1", effect, 0.9 if exact else 0.6)
    return Contract("text", guesses, "Answer the request.")


def schema_text(schema: dict[str, Any]) -> str:
    """Return a schema as its file holds it."""
    return json.dumps(schema, indent=2, ensure_ascii=False) + "\n"
