"""Words that the field has a better one for, and phrases that a stranger reads twice, in messages and names.

    python tools/words.py [FOLDER ...]

Prints where each stands and what to write instead; exits with 1 when there is one.
"""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Iterator
from pathlib import Path

FOLDERS = ("flows", "tasks", "schemas", "tools", "benchmarks")
# Pattern -> what to write instead.
PHRASES = {
    r"\bsurely\b": "at 95% confidence",
    r"\bnot to be had\b": "is unavailable",
    r"\botherwise than\b": "differently from",
    r"\bnot surely\b": "inconclusive",
    r"\bwhat products allow\b": "of the matmul roofline",
    r"\bgoes? on after step\b": "resumes after step",
    r"\blow-rank branch(es)?\b": "adapter",
    r"\bunfolded\b": "dequantised",
    r"\blesson\b": "dataset",
    r"\b(whole )?audience\b": "reporter",
    r"\bon (its|the|a) bench\b": "in its work directory",
    r"\bprompt speaker\b": "prompt builder",
}
NAMES = {
    r"^(un)?branch(es|ed)?$|_branch(es|ed)?$": "adapter",
    r"unfold(ed)?": "dequantised",
    r"(^|_)(lesson|crew|audience|hears|shelves|speaker|bench|benches)s?(_|$)": (
        "dataset, process group, reporter, index, prompt builder, work directory"
    ),
}
ITSELF = Path(__file__).resolve()


def main(folders: list[str]) -> int:
    """Print every banned word; return 1 when there is one."""
    paths = sorted(path for folder in folders for path in Path(folder).rglob("*.py") if path.resolve() != ITSELF)
    problems = [problem for path in paths for problem in problems_in(path)]
    for problem in problems:
        print(f"words: {problem}", file=sys.stderr)
    print(f"words: {len(paths)} files, {len(problems)} banned words")
    return 1 if problems else 0


def problems_in(path: Path) -> Iterator[str]:
    """Yield every banned word of a file with its line and what to write instead."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield from _found(path, node.lineno, node.value, PHRASES)
        for name in _names(node):
            yield from _found(path, getattr(node, "lineno", 1), name, NAMES)


def _names(node: ast.AST) -> Iterator[str]:
    if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
        yield node.name.lower()
    elif isinstance(node, ast.arg):
        yield node.arg.lower()
    elif isinstance(node, ast.Name):
        yield node.id.lower()


def _found(path: Path, line: int, text: str, banned: dict[str, str]) -> Iterator[str]:
    for pattern, better in banned.items():
        match = re.search(pattern, text, re.IGNORECASE)
        if match:
            below = text[: match.start()].count("\n")
            yield f"{path}:{line + below} {match.group()!r}: write {better!r}"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:] or list(FOLDERS)))
