"""The tool that looks for banned words finds them in texts and names, and leaves other words alone."""

from __future__ import annotations

from pathlib import Path

import pytest

from tools import words


def looked_at(folder: Path, text: str, capsys: pytest.CaptureFixture[str]) -> tuple[int, list[str]]:
    """Return main's answer on a folder with one module, and the lines that it wrote to stderr."""
    (folder / "module.py").write_text(text, encoding="utf-8")
    return words.main([str(folder)]), capsys.readouterr().err.splitlines()


@pytest.mark.parametrize(
    ("text", "line", "says"),
    [
        ('x = 1\nsay(f"{x} is Surely met")', 2, '"Surely"; better: at 95% confidence'),
        ('"""A page.\n\nThe base is not to\nbe had.\n"""', 3, '"not to be had"; better: unavailable'),
        ("def current_bench(): ...", 1, '"bench"; better: work directory'),
        ("class LoudSpeaker: ...", 1, '"Speaker"; better: prompt builder'),
        ("def fit(*, branches): ...", 1, '"branches"; better: adapter'),
        ("from tasks.branches import join", 1, '"branches"; better: adapter'),
        ("import tasks.shelves", 1, '"shelves"; better: index'),
        ("fit(lesson=1)", 1, '"lesson"; better: dataset, examples'),
        ('say("a LoRA branch")', 1, '"LoRA branch"; better: adapter'),
    ],
)
def test_a_banned_word_is_named_with_its_line_and_the_better_one(
    text: str, line: int, says: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, lines = looked_at(tmp_path, text, capsys)
    assert code == 1
    assert len(lines) == 1
    assert f"module.py:{line} {says}" in lines[0]


@pytest.mark.parametrize(
    "text",
    [
        "benchmark_files = 1",
        'say("no commit but a branch, which moves")',
        "x = 1  # surely a comment",
        "branching = shelf = leisurely = 1",
    ],
)
def test_other_words_pass(text: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert looked_at(tmp_path, text, capsys) == (0, [])
