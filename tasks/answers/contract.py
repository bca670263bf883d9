"""The contract of an answer: the same check for a training answer and for a model's answer.

A check is strict: only white space around the answer is ignored. An answer inside a code fence, or after an
introductory sentence, breaks the contract, because a program that reads answers would fail on it too.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from schemas.errors import ConfigRefused, TuneworthyError
from tasks.answers.calls import is_broken, read_calls
from tasks.answers.traces import after_trace

if TYPE_CHECKING:
    from schemas.sections.task import ChoiceAnswer, JsonAnswer, SqlAnswer, TaskConfig, TextAnswer, ToolCallAnswer

DATABASE = "answer.sqlite"
JSON_SCHEMA = "answer.schema.json"
TOOLS = "answer.tools.json"
FILES = {"sql": DATABASE, "json": JSON_SCHEMA, "tool_call": TOOLS}


@dataclass(frozen=True)
class Breach:
    """Why an answer breaks the contract: a reason code, and a detail that quotes nothing of the answer."""

    reason: str
    detail: str


Check = Callable[[str], Breach | None]


def contract_of(task: TaskConfig, folder: Path) -> Check:
    """Return the check of a task's answers; what a model reasons before its answer is passed over.

    Args:
        task: its `answer` defines the contract.
        folder: contains the one of FILES that the answer's format needs.

    Raises:
        ConfigRefused: the contract itself cannot be used: an invalid JSON Schema, a file that is not a SQLite
            database, tools that are none.
        TuneworthyError: the file is not in the folder.
    """
    check = _contract_of(task, folder)
    return lambda output: check(after_trace(output))


def _contract_of(task: TaskConfig, folder: Path) -> Check:
    answer = task.answer
    if answer.format == "text":
        return _check_text(answer)
    if answer.format == "choice":
        return _check_choice(answer)
    if answer.format == "json":
        return _check_json(answer, _present(folder / JSON_SCHEMA))
    if answer.format == "tool_call":
        return _check_calls(answer, None if answer.tools is None else _present(folder / TOOLS))
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
    where = f"task.answer.json_schema: {answer.json_schema}"
    try:
        schema = json.loads(file.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as fault:
        raise ConfigRefused(f"{where} is not a JSON Schema: {fault}") from fault
    return _validator_of(schema, where)


def _validator_of(schema: Any, where: str) -> Any:
    import jsonschema  # type: ignore[import-untyped, unused-ignore]
    from referencing import Registry

    try:
        kind = jsonschema.validators.validator_for(schema, default=jsonschema.Draft202012Validator)
        kind.check_schema(schema)
    except jsonschema.SchemaError as fault:
        raise ConfigRefused(f"{where} is not a valid JSON Schema: {fault.json_path}: {fault.message}") from fault
    except (ValueError, TypeError, AttributeError, RecursionError) as fault:
        raise ConfigRefused(f"{where} is not a JSON Schema: {fault}") from fault
    return kind(schema, registry=Registry(), format_checker=kind.FORMAT_CHECKER)


def _check_calls(answer: ToolCallAnswer, file: Path | None) -> Check:
    known = {} if file is None else tools_in(file, answer)

    def check(output: str) -> Breach | None:
        if not output.strip():
            return Breach("empty_answer", "only white space")
        calls, said = read_calls(output)
        if not calls and is_broken(said):
            return Breach("answer_not_json", "looks like a call, but its JSON is damaged")
        for call in calls if file is not None else ():
            if call["name"] not in known:
                return Breach("answer_breaks_schema", f"calls a tool that {answer.tools} does not define")
            if problem := next(iter(known[call["name"]].iter_errors(call["arguments"])), None):
                return Breach("answer_breaks_schema", f'arguments break "{problem.validator}" of its parameters')
        return None

    return check


def tools_in(file: Path, answer: ToolCallAnswer) -> dict[str, Any]:
    """Return tool -> validator of its arguments, of a file with a JSON list of tools.

    Raises:
        ConfigRefused: it holds anything else.
    """
    where = f"task.answer.tools: {answer.tools}"
    try:
        tools = [tool.get("function", tool) for tool in json.loads(file.read_text(encoding="utf-8"))]
        named = {str(tool["name"]): tool.get("parameters") or {} for tool in tools}
    except (ValueError, TypeError, AttributeError, KeyError, RecursionError) as fault:
        raise ConfigRefused(
            f'{where} is not a JSON list of tools, such as [{{"type": "function", "function": {{"name": …, '
            '"parameters": …}}]'
        ) from fault
    return {name: _validator_of(parameters, f"{where}: {name}") for name, parameters in named.items()}


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
