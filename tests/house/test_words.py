"""The tool behind `make words` sees what it is there to see."""

from __future__ import annotations

from pathlib import Path

import pytest

from tools import words


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ('raise ValueError("the arm is surely good")', "module.py:1 'surely': write 'at 95% confidence'"),
        ('def f():\n    """First.\n\n    The disk is not to be had.\n    """', "module.py:4 'not to be had'"),
        ('print(f"{x} rendered otherwise than {y}")', "write 'differently from'"),
        ("def low_rank_branch(): pass", "'_branch': write 'adapter'"),
        ("crew = 3", "'crew'"),
        ("def lesson_of(): pass", "'lesson_': write 'dataset"),
        ("def train(*, bench): pass", "'bench'"),
    ],
)
def test_a_banned_word_is_named_with_its_line_and_a_better_one(
    text: str, says: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "module.py").write_text(text, encoding="utf-8")
    assert words.main([str(tmp_path)]) == 1
    assert says in capsys.readouterr().err


def test_plain_words_and_words_that_only_hold_a_banned_one_pass(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "module.py").write_text('benchmark = "the benchmark measures a branch office"', encoding="utf-8")
    assert words.main([str(tmp_path)]) == 0
    assert "0 banned words" in capsys.readouterr().out
