"""The contract of an answer: the same check for a training answer and for a model's answer.

A check is strict: only white space around the answer is ignored. An answer inside a code fence, or after an
introductory sentence, breaks the contract, because a program that reads answers would fail on it too.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from schemas.errors import ConfigRefused, TuneworthyError

if TYPE_CHECKING:
    from schemas.sections.task import ChoiceAnswer, JsonAnswer, SqlAnswer, TaskConfig, TextAnswer

DATABASE = "answer.sqlite"
JSON_SCHEMA = "answer.schema.json"


@dataclass(frozen=True)
class Breach:
    """Why an answer breaks the contract: a reason code, and a detail that quotes nothing of the answer."""

    reason: str
    detail: str


Check = Callable[[str], Breach | None]


def contract_of(task: TaskConfig, folder: Path) -> Check:
    """Return the check of a task's answers.

    Args:
        task: its `answer` defines the contract.
        folder: contains answer.sqlite or answer.schema.json if the answer's format needs one.

    Raises:
        ConfigRefused: the contract itself cannot be used: an invalid JSON Schema, a file that is not a SQLite
            database.
        TuneworthyError: the file is not in the folder.
    """
    answer = task.answer
    if answer.format == "text":
        return _check_text(answer)
    if answer.format == "choice":
        return _check_choice(answer)
    if answer.format == "json":
        return _check_json(answer, _present(folder / JSON_SCHEMA))
    return _check_sql(answer, _present(folder / DATABASE))


def _present(path: Path) -> Path:
    if not path.is_file():
        raise TuneworthyError(
            f"{path} is missing, and answers cannot be checked without it. Run again: the data stage copies it "
            "into its artifact."
        )
    return path


def _check_text(answer: TextAnswer) -> Check:
    pattern = re.compile(answer.pattern) if answer.pattern is not None else None

    def check(output: str) -> Breach | None:
        text = output.strip()
        if not text:
            return Breach("empty_answer", "only white space")
        if len(text) > answer.max_characters:
            return Breach("answer_too_long", f"{len(text)} characters, at most {answer.max_characters} are allowed")
        if pattern is not None and not pattern.fullmatch(text):
            return Breach("answer_breaks_pattern", "does not fully match task.answer.pattern")
        return None

    return check


def _check_choice(answer: ChoiceAnswer) -> Check:
    labels = frozenset(label.strip() for label in answer.labels)

    def check(output: str) -> Breach | None:
        text = output.strip()
        if not text:
            return Breach("empty_answer", "only white space")
        return None if text in labels else Breach("answer_not_a_label", f"is not one of the {len(labels)} labels")

    return check


def _check_json(answer: JsonAnswer, file: Path) -> Check:
    from referencing.exceptions import Unresolvable

    from tasks.answers.objects import NotAnObject, read_object

    validator = _validator(answer, file)

    def check(output: str) -> Breach | None:
        if not output.strip():
            return Breach("empty_answer", "only white space")
        try:
            value = read_object(output)
            problem = next(iter(validator.iter_errors(value)), None)
        except NotAnObject as fault:
            return Breach("answer_not_json", str(fault))
        except RecursionError:
            return Breach("answer_not_json", "nested too deeply")
        except Unresolvable as fault:
            where = f"task.answer.json_schema: {answer.json_schema}"
            raise ConfigRefused(
                f"{where} refers to {fault.ref!r}, which is not in the file. Put it under $defs: nothing is downloaded."
            ) from fault
        if problem is None:
            return None
        return Breach(
            "answer_breaks_schema",
            f'breaks "{problem.validator}" at schema path {"/".join(map(str, problem.schema_path))}',
        )

    return check


def _validator(answer: JsonAnswer, file: Path) -> Any:
    import json

    import jsonschema  # type: ignore[import-untyped, unused-ignore]
    from referencing import Registry

    where = f"task.answer.json_schema: {answer.json_schema}"
    try:
        schema = json.loads(file.read_text(encoding="utf-8"))
        kind = jsonschema.validators.validator_for(schema, default=jsonschema.Draft202012Validator)
        kind.check_schema(schema)
    except jsonschema.SchemaError as fault:
        raise ConfigRefused(f"{where} is not a valid JSON Schema: {fault.json_path}: {fault.message}") from fault
    except (ValueError, TypeError, AttributeError, RecursionError) as fault:
        raise ConfigRefused(f"{where} is not a JSON Schema: {fault}") from fault
    return kind(schema, registry=Registry(), format_checker=kind.FORMAT_CHECKER)


def _check_sql(answer: SqlAnswer, file: Path) -> Check:
    from tasks.answers.database import Database, QueryFailed

    database = Database(file, answer.database)

    def check(output: str) -> Breach | None:
        if not output.strip():
            return Breach("empty_answer", "only white space")
        try:
            rows = database.rows(output)
        except QueryFailed as fault:
            return Breach("answer_does_not_run", str(fault))
        return None if rows else Breach("answer_gives_no_rows", "runs, but returns no row")

    return check
