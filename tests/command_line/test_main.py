"""What the command line says to what it does not know, and what it completes."""

from __future__ import annotations

import importlib.metadata
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from flows.command_line.main import main
from schemas.errors import StoreUnwritable
from tasks.reuse.store import ArtifactStore

COMMANDS = ["init", "run", "plan", "compare", "validate", "label", "sweep", "advise", "diff", "bootstrap", "doctor"]
COMMANDS += ["store", "rollback", "history", "status", "serve", "chat", "export"]


def completed(*words: str) -> list[str]:
    """Return what bash would offer for the last of these words."""
    asking = {"_TUNEWORTHY_COMPLETE": "complete_bash", "COMP_CWORD": str(len(words) - 1), "COMP_WORDS": " ".join(words)}
    command = [sys.executable, "-m", "flows.command_line.main"]
    return subprocess.run(
        command, env={**os.environ, **asking}, capture_output=True, text=True, check=True
    ).stdout.split()


@pytest.mark.parametrize(
    ("line", "says"),
    [
        (["rnu", "a.yaml"], "No such command 'rnu'. Did you mean 'run'? See tuneworthy --help."),
        (["store", "gcc"], "No such command 'gcc'. Did you mean 'gc'? See tuneworthy store --help."),
        (["run", "a.yaml", "--jsno"], "No such option: --jsno. Did you mean --json? See tuneworthy run --help."),
        (["zzzzzz"], "No such command 'zzzzzz'. See tuneworthy --help."),
        (["plan"], "Missing argument 'CONFIG'. See tuneworthy plan --help."),
        (["run", "a.yaml", "b.yaml"], "extra argument"),
        (["store", "gc", "--keep-days", "many"], "Invalid value for '--keep-days'"),
        (["store", "gc", "--keep-days=-1"], "Invalid value for '--keep-days'"),
        (["bootstrap", "--gpu-slots", "0"], "Invalid value for '--gpu-slots'"),
        ([], "Missing command. See tuneworthy --help."),
    ],
)
def test_a_line_that_is_no_command_leaves_with_2_and_names_the_nearest(
    line: list[str], says: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(line) == 2
    heard = capsys.readouterr()
    assert says in heard.err
    assert heard.out == ""


def test_a_wrong_option_beside_json_is_told_as_json(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["run", "a.yaml", "--json", "--ste", "a=1"]) == 2
    answer = json.loads(capsys.readouterr().out)
    assert (answer["error"], answer["exit_code"]) == ("UsageError", 2)
    assert "--set" in answer["message"]


def test_the_version_is_that_of_the_package(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"tuneworthy {importlib.metadata.version('tuneworthy')}\n"


def test_the_help_names_every_command_and_cuts_no_line_short(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--help"]) == 0
    lines = capsys.readouterr().out.splitlines()
    listed = lines[lines.index("Commands:") + 1 :][: len(COMMANDS)]
    assert [line.split()[0] for line in listed] == COMMANDS
    assert not any(line.endswith("...") for line in listed)


@pytest.mark.slow
def test_commands_and_options_are_completed() -> None:
    assert completed("tuneworthy", "ro") == ["rollback"]
    assert completed("tuneworthy", "store", "") == ["verify", "gc"]
    assert {"--set", "--json", "--fix"} <= set(completed("tuneworthy", "validate", "--"))


@pytest.mark.parametrize("name", ["rows.jsonl", "rows.csv", "rows.JSON", "rows.parquet"])
def test_rows_named_as_a_config_are_said_to_be_rows(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / name).write_bytes(
        b'\xff\xfe{"a": 1}\n{"a": 2}\n' if name == "rows.parquet" else b'{"a": 1}\n{"a": 2}\n'
    )
    assert main(["validate", str(tmp_path / name)]) == 2
    assert "is a data file, not a config. `tuneworthy init" in capsys.readouterr().err


@pytest.mark.parametrize("place", ["/proc/x", "x" * 300, "link", "file"])
def test_a_store_that_cannot_be_made_is_said_in_words(place: str, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to("/nonexistent/place")
    (tmp_path / "file").write_text("")
    why = "does not exist; is that disk mounted" if place == "link" else ""
    with pytest.raises(StoreUnwritable, match=f"cannot be written .*{why}"):
        ArtifactStore(tmp_path / place).folder("work")
