"""Every config that is shipped can be run, and its page of settings is true."""

from __future__ import annotations

import runpy
import shutil
from pathlib import Path

import pytest

from flows.inputs.config_file import read_config
from tools import config_reference, rows_reference

ROOT = Path(__file__).parents[2]
CONFIGS = sorted((ROOT / "configs").glob("*.yaml"))


def test_there_are_three_configs() -> None:
    assert [path.stem for path in CONFIGS] == ["demo", "geoquery", "replace"]


def test_the_requests_of_replace_are_what_their_script_makes(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    shipped, copy = ROOT / "configs" / "replace", tmp_path / "make_requests.py"
    shutil.copyfile(shipped / "make_requests.py", copy)
    monkeypatch.setattr("sys.argv", [str(copy)])
    runpy.run_path(str(copy), run_name="__main__")
    for name in ("requests.jsonl", "labelled.jsonl"):
        assert (tmp_path / name).read_bytes() == (shipped / name).read_bytes()


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_a_shipped_config_is_read(path: Path) -> None:
    assert read_config(path).name == path.stem


def test_the_page_of_settings_is_up_to_date(capsys: pytest.CaptureFixture[str]) -> None:
    assert config_reference.main(["--check"]) == 0, capsys.readouterr().err


def test_the_page_of_rows_is_what_the_golden_files_give(capsys: pytest.CaptureFixture[str]) -> None:
    assert rows_reference.main(["--check"]) == 0, capsys.readouterr().err


def test_the_page_of_settings_tells_value_default_and_bounds() -> None:
    page = config_reference.reference()
    assert "| `rank` | whole number, ≥ 1, ≤ 1024 | `16` |" in page
    assert "| `source` • | text, length ≥ 1 | **needed** |" in page
    assert "## task.answer (format sql)" in page
