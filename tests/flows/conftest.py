"""A whole run in small: sixty rows, the tiny model, a benchmark of a few items; every part is the real one."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.made_once import made_once

ROOT = Path(__file__).parents[2]
# A few texts, and a margin that an adapter of a second's training does not pass.
NEUTRAL = {"neutral": str(Path(__file__).with_name("neutral.jsonl")), "neutral_margin": 10}
Run = Callable[..., subprocess.CompletedProcess[str]]


def small_config(base: Path) -> dict[str, Any]:
    """Return the settings of a run that takes seconds."""
    return {
        "name": "small",
        "seed": 3,
        "task": {"instruction": "Answer with one word.", "metric": "token_f1"},
        "data": {"source": "rows.jsonl", "group": "group", "held_out": 0.3},
        "base": {"model": str(base)},
        "arms": {"few_shot": {"shots": 2}, "retrieval": {"top_k": 1}, "max_new_tokens": 4},
        "training": {"method": "lora", "rank": 4, "epochs": 1, "tokens_per_step": 256, "learning_rate": 0.01},
        "benchmark": {"tasks": ["general_mini"], "limit": 6, **NEUTRAL},
        "decision": {"target": 0.9},
        "registry": {"model": "small"},
    }


def write_rows(path: Path, count: int = 60) -> None:
    """Write rows that a model could learn: the answer is the last word of the request."""
    words = ("red", "green", "blue", "black", "white")
    rows = [
        {"prompt": f"Number {n} is painted {words[n % 5]}", "completion": words[n % 5], "group": f"g{n % 20}"}
        for n in range(count)
    ]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")


@pytest.fixture
def small(tmp_path: Path, tiny_model: Path) -> Path:
    """A config file beside its rows, in a folder of its own."""
    folder = tmp_path / "configs"
    folder.mkdir()
    write_rows(folder / "rows.jsonl")
    path = folder / "small.yaml"
    path.write_text(yaml.safe_dump(small_config(tiny_model)), encoding="utf-8")
    return path


def tuneworthy(
    *arguments: str | Path,
    store: Path,
    code: str = "import sys; from flows.command_line.main import main; sys.exit(main())",
    **environment: str,
) -> Any:
    """Run the command line in a process of its own, without a Prefect server of the user's."""
    names = {
        name: value for name, value in os.environ.items() if name not in ("PREFECT_API_URL", "MLFLOW_TRACKING_URI")
    }
    variables = {
        **names,
        "TUNEWORTHY_STORE": str(store),
        "PYTHONPATH": str(ROOT),
        "PREFECT_HOME": str(store.parent / "prefect"),
        **environment,
    }
    command = [sys.executable, "-c", code, *map(str, arguments)]
    return subprocess.run(
        command, env=variables, capture_output=True, text=True, timeout=280, check=False, cwd=store.parent
    )


def with_tables(store: Path, migrated_database: Path) -> Path:
    """Put an MLflow database that has its tables into a store."""
    store.mkdir(parents=True)
    shutil.copy(migrated_database, store / "mlflow.db")
    return store


@pytest.fixture(scope="session")
def finished(
    tmp_path_factory: pytest.TempPathFactory, tiny_model: Path, migrated_database: Path
) -> tuple[Path, Path, Any]:
    """One whole run through the real command line: (config file, store, finished process)."""

    def make(folder: Path) -> None:
        write_rows(folder / "rows.jsonl")
        config = small_config(tiny_model)
        config["decision"]["slices"] = ["group"]
        (folder / "small.yaml").write_text(yaml.safe_dump(config), encoding="utf-8")
        store = with_tables(folder / "store", migrated_database)
        done = tuneworthy("run", folder / "small.yaml", "--json", store=store)
        (folder / "process.json").write_text(json.dumps(vars(done)), encoding="utf-8")

    folder = made_once(tmp_path_factory, "finished", make)
    process = subprocess.CompletedProcess(**json.loads((folder / "process.json").read_text(encoding="utf-8")))
    return folder / "small.yaml", folder / "store", process
