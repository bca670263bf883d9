"""The grammar of an answer, from the contract that answers are checked by.

What the grammar lets through meets the contract once it ends; the order of an object's fields is the schema's.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import TYPE_CHECKING

from schemas.errors import ConfigRefused

if TYPE_CHECKING:
    from schemas.sections.task import TaskConfig

# White space without an end would let a small model write nothing else.
WHITE_SPACE = r"[ \n]{0,12}"


def grammar_of(task: TaskConfig, schema: Path) -> str:
    """Return the grammar of a task's answers, as llguidance reads it.

    Args:
        task: its `answer` is the contract.
        schema: the file of a JSON answer's schema; not read for others.

    Raises:
        ConfigRefused: the contract has no grammar, or one that llguidance cannot keep to the letter.
    """
    from llguidance import LLMatcher

    answer = task.answer
    try:
        if answer.format == "json":
            where = f"task.answer.json_schema: {answer.json_schema}"
            content = json.loads(schema.read_text(encoding="utf-8"))
            grammar = LLMatcher.grammar_from_json_schema(content, defaults={"whitespace_pattern": WHITE_SPACE})
        elif answer.format == "choice":
            where = "task.answer.labels"
            grammar = LLMatcher.grammar_from_regex("|".join(re.escape(label.strip()) for label in answer.labels))
        elif answer.format == "text" and answer.pattern is not None:
            where = "task.answer.pattern"
            grammar = LLMatcher.grammar_from_regex(answer.pattern)
        else:
            raise ConfigRefused(f"task.answer: {answer.format} has no grammar; leave arms with +grammar out.")
        problem = LLMatcher.validate_grammar(grammar)
    except ValueError as fault:
        problem = str(fault)
    if problem:
        said = " ".join(problem.split())
        raise ConfigRefused(f"{where}: no grammar can be made of it: {said}. Leave arms with +grammar out.")
    return str(grammar)
