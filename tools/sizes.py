"""Sizes to feel: functions with a median of at most 12 lines, none over 60; no Python file over 300 lines; no folder of
more than 14 Python files.

    python tools/sizes.py [FOLDER ...]

Counts every .py file of the checkout that is ours, tests included; a function's lines run from its `def` to its last
line.
"""

from __future__ import annotations

import ast
import statistics
import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

MEDIAN_LINES = 12
FUNCTION_LINES = 60
FILE_LINES = 300
FOLDER_FILES = 14
FOLDERS = ("flows", "tasks", "schemas", "tools", "tests", "configs", "benchmarks")


@dataclass(frozen=True)
class Function:
    """One function or method and how many lines it takes."""

    where: str
    lines: int


def main(folders: list[str]) -> int:
    """Print the sizes and every breach; return 1 when there is one."""
    paths = sorted(path for folder in folders for path in Path(folder).rglob("*.py"))
    functions = [function for path in paths for function in functions_in(path)]
    problems = [*_full_folders(paths), *_long_files(paths), *_long_functions(functions)]
    lines = [function.lines for function in functions]
    median = statistics.median(lines)
    if median > MEDIAN_LINES:
        problems.append(f"the median function has {median:g} lines, over {MEDIAN_LINES}")
    for problem in problems:
        print(f"sizes: {problem}", file=sys.stderr)
    print(f"sizes: {len(paths)} files, {len(functions)} functions; median {median:g} lines, longest {max(lines)}")
    return 1 if problems else 0


def functions_in(path: Path) -> Iterator[Function]:
    """Yield every function of a file, methods and inner functions too."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            yield Function(f"{path}:{node.lineno} {node.name}", (node.end_lineno or node.lineno) - node.lineno + 1)


def _full_folders(paths: list[Path]) -> Iterator[str]:
    for folder, files in Counter(path.parent for path in paths).items():
        if files > FOLDER_FILES:
            yield f"{folder} has {files} Python files, over {FOLDER_FILES}"


def _long_files(paths: list[Path]) -> Iterator[str]:
    for path in paths:
        lines = len(path.read_text(encoding="utf-8").splitlines())
        if lines > FILE_LINES:
            yield f"{path} has {lines} lines, over {FILE_LINES}"


def _long_functions(functions: list[Function]) -> Iterator[str]:
    for function in functions:
        if function.lines > FUNCTION_LINES:
            yield f"{function.where} has {function.lines} lines, over {FUNCTION_LINES}"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:] or list(FOLDERS)))
