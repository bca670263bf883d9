"""The README cannot lie: its links lead somewhere, and its cheap commands run."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
TREE = (ROOT / "docs" / "tree.md").read_text(encoding="utf-8")
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]
COMMANDS = [
    line.partition("#")[0].strip()
    for block in re.findall(r"```sh tested\n(.*?)```", README, re.DOTALL)
    for line in block.splitlines()
    if line.strip()
]
# tests/ and docs/ of one kind are not listed file by file.
NOT_UNFOLDED = {"tests", ".ci"}
IGNORED = re.compile(
    r"__pycache__|\.egg-info$|^\.(git|venv|tuneworthy|hypothesis|\w+_cache)$|^(build|mlruns|mlflow\.db|shared)$"
)


def told() -> set[str]:
    """Return every path of docs/tree.md."""
    tree = TREE.partition("```\n")[2].partition("```")[0]
    paths, parent = set(), ""
    for line in tree.splitlines():
        name = line.split()[0].rstrip("/")
        parent = parent if line.startswith(" ") else name
        paths.add(f"{parent}/{name}" if line.startswith(" ") else name)
    return paths


def there() -> set[str]:
    """Return the checkout's own paths, two levels deep."""
    paths = set()
    for top in ROOT.iterdir():
        inner = (
            []
            if top.is_file() or IGNORED.search(top.name)
            else [path for path in top.iterdir() if not IGNORED.search(path.name)]
        )
        if top.is_file() and not IGNORED.search(top.name):
            paths.add(top.name)
        elif inner and top.name not in NOT_UNFOLDED:
            paths |= {top.name, *(f"{top.name}/{path.name}" for path in inner)}
    return paths | {"tests", ".ci/run"}


def test_the_page_of_the_tree_is_the_tree() -> None:
    assert sorted(told() ^ there()) == []


def test_every_line_of_the_tree_says_what_is_there() -> None:
    tree = TREE.partition("```\n")[2].partition("```")[0]
    assert [line for line in tree.splitlines() if len(line.split(maxsplit=1)) < 2] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_between_pages_lead_somewhere(page: Path) -> None:
    links = re.findall(r"\]\((?!https?:)([^)#]+)(?:#[^)]*)?\)", page.read_text(encoding="utf-8"))
    assert [link for link in links if not (page.parent / link).exists()] == []


def test_the_readme_has_commands_that_are_tested() -> None:
    assert len(COMMANDS) >= 5


@pytest.mark.slow
@pytest.mark.parametrize("command", COMMANDS)
def test_a_command_of_the_readme_runs(command: str, tmp_path: Path) -> None:
    program, *arguments = shlex.split(command)
    assert program == ".venv/bin/tuneworthy"
    environment = {**os.environ, "TUNEWORTHY_STORE": str(tmp_path / "store"), "PREFECT_HOME": str(tmp_path / "prefect")}
    done = subprocess.run(
        [sys.executable, "-m", "flows.command_line.main", *arguments],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stderr.count("Traceback")) == (0, 0), done.stderr
    assert done.stdout.strip()


@pytest.mark.parametrize("page", sorted((ROOT / "docs" / "decisions").glob("*.md")), ids=lambda page: page.stem)
def test_a_decision_states_goal_non_goals_and_status(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    assert text.startswith(f"# {page.stem[:4]} ")
    assert re.search(r"^Status: (accepted|superseded by \d{4})$", text, re.MULTILINE)
    assert {"## Goal", "## Decision", "## Non-goals"} <= set(text.splitlines())


def test_the_changelog_names_the_stages_that_run_again() -> None:
    text = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    assert "## [Unreleased]" in text
    assert text.count("### Stages that run again after upgrading") == len(re.findall(r"^## \[", text, re.MULTILINE))
