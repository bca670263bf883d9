"""Words that a stranger would have to learn first: each has a standard term, which is used instead.

    python tools/words.py [FOLDER ...]

Looks at identifiers and at string literals (messages, docstrings, templates), not at comments. configs/ is left out, as
its Python writes the demo's tickets, and so are tests/, which quote what people write.
"""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Iterator
from pathlib import Path

FOLDERS = ("flows", "tasks", "schemas", "tools", "benchmarks")
# Pattern -> the better word; a space in a pattern also matches a line break.
WORDS = {
    "surely": 'at 95% confidence, or for "not surely" inconclusive',
    "not to be had": "unavailable",
    "otherwise than": "differently from",
    "is at it": "is running it",
    "unfold(s|ed|ing)?": "dequantise",
    "lessons?": "dataset, examples",
    "crews?": "process group",
    "bench(es)?": "work directory",
    "speakers?": "prompt builder",
    "audiences?": "reporter",
    "hears|heard": "receives; a reporter, a callback",
    "shelves": "index",
    "(lora|adapter|low-rank|fp32) branch(es)?": "adapter",
}
IDENTIFIERS_ONLY = {"branch(es)?": "adapter"}  # in a text it may be one of Git, or of code


def compiled(words: dict[str, str]) -> list[tuple[re.Pattern[str], str]]:
    """Return the patterns, each for whole words in any case, with their better words."""
    spaced = {word.replace(" ", r"\s+"): better for word, better in words.items()}
    return [(re.compile(rf"\b({word})\b", re.IGNORECASE), better) for word, better in spaced.items()]


IN_TEXTS, IN_IDENTIFIERS = compiled(WORDS), compiled(WORDS | IDENTIFIERS_ONLY)


def main(folders: list[str]) -> int:
    """Print every banned word with its place and the better one; return 1 when there is one."""
    problems: list[str] = []
    for folder in folders:
        for path in sorted(Path(folder).rglob("*.py")):
            if path.resolve() != Path(__file__).resolve():  # it has to name them
                problems += problems_in(path)
    for problem in problems:
        print(f"words: {problem}", file=sys.stderr)
    print(f"words: {len(problems) or 'no'} banned words")
    return 1 if problems else 0


def problems_in(path: Path) -> list[str]:
    """Return every banned word of a file with its line and the better word, in the order of the lines."""
    found: set[tuple[int, str]] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            found |= set(_banned(node.value, node.lineno, IN_TEXTS))
        for name in _names(node):
            found |= set(_banned(_spaced(name), getattr(node, "lineno", 1), IN_IDENTIFIERS))
    return [f"{path}:{line} {message}" for line, message in sorted(found)]


def _names(node: ast.AST) -> Iterator[str]:
    """Yield the identifiers that stand in a node itself."""
    for field in ("id", "attr", "arg", "name", "asname", "module"):
        name = getattr(node, field, None)
        if isinstance(name, str):
            yield name


def _spaced(name: str) -> str:
    """Return the words of a snake_case, CamelCase or dotted name with spaces in between."""
    return re.sub(r"(?<=[a-z])(?=[A-Z])|[_.]+", " ", name)


def _banned(text: str, line: int, words: list[tuple[re.Pattern[str], str]]) -> Iterator[tuple[int, str]]:
    for pattern, better in words:
        for match in pattern.finditer(text):
            place = line + text.count("\n", 0, match.start())
            yield place, f'"{" ".join(match[0].split())}"; better: {better}'


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:] or list(FOLDERS)))
