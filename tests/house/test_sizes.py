"""The tool behind `make sizes` sees what it is there to see."""

from __future__ import annotations

from pathlib import Path

import pytest

from tools import sizes


def function(name: str, lines: int) -> str:
    """Return the source of a function with this many lines."""
    return f"def {name}():\n" + "    x = 1\n" * (lines - 1)


def written(folder: Path, text: str) -> list[str]:
    """Write a module into a folder and return what main takes."""
    (folder / "module.py").write_text(text, encoding="utf-8")
    return [str(folder)]


def test_files_within_the_limits_pass(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert sizes.main(written(tmp_path, function("a", 3) + function("b", 60) + function("c", 5))) == 0
    assert "3 functions; median 5 lines, longest 60" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (function("small", 2) * 9 + function("large", 61), "large has 61 lines, over 60"),
        (function("a", 13), "the median function has 13 lines, over 12"),
        (function("a", 2) + "x = 1\n" * 299, "has 301 lines, over 300"),
        (
            "class C:\n    def method(self):\n" + "        x = 1\n" * 60 + function("small", 2) * 9,
            "method has 61 lines",
        ),
    ],
)
def test_what_is_too_large_is_named(text: str, says: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert sizes.main(written(tmp_path, text)) == 1
    assert says in capsys.readouterr().err


def test_a_folder_of_too_many_files_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for number in range(14):
        (tmp_path / f"module_{number}.py").write_text(function("a", 2), encoding="utf-8")
    assert sizes.main([str(tmp_path)]) == 0
    (tmp_path / "one_more.py").write_text(function("a", 2), encoding="utf-8")
    assert sizes.main([str(tmp_path)]) == 1
    assert f"{tmp_path} has 15 Python files, over 14" in capsys.readouterr().err
