"""The doors of the house: who may import whom, and what is loaded only when it is used. (Who imports whom between
rooms: import-linter.)
"""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
HEAVY = {
    "torch",
    "transformers",
    "peft",
    "bitsandbytes",
    "accelerate",
    "lm_eval",
    "mlflow",
    "polars",
    "pandera",
    "matplotlib",
    "datasets",
    "bm25s",
    "pandas",
}
KNOW_PREFECT = {ROOT / "tasks" / "reuse" / "prefect_tasks.py"}
NAMES_THAT_SAY_NOTHING = {
    "utils",
    "util",
    "helpers",
    "helper",
    "common",
    "misc",
    "core",
    "manager",
    "handler",
    "processor",
    "service",
    "base_",
}


def own_files(*folders: str) -> list[Path]:
    """Return our Python files in these folders."""
    return sorted(path for folder in folders for path in (ROOT / folder).rglob("*.py"))


def imports_at_load(tree: ast.Module) -> Iterator[str]:
    """Yield the top packages that a module imports as soon as it is loaded: not inside functions, not for type checking
    only.
    """
    waiting: list[ast.stmt] = list(tree.body)
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.Import):
            yield from (alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            yield str(node.module).partition(".")[0]
        elif isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            waiting += node.orelse
        elif not isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            waiting += [child for child in ast.iter_child_nodes(node) if isinstance(child, ast.stmt)]


def all_imports(path: Path) -> set[str]:
    """Return the top packages that a file imports anywhere."""
    nodes = list(ast.walk(ast.parse(path.read_text(encoding="utf-8"))))
    plain = {alias.name.partition(".")[0] for node in nodes if isinstance(node, ast.Import) for alias in node.names}
    return plain | {
        str(node.module).partition(".")[0] for node in nodes if isinstance(node, ast.ImportFrom) and node.level == 0
    }


DOORWAYS = [
    *own_files("flows"),
    *sorted((ROOT / "tasks").glob("*.py")),
    *own_files("tasks/reuse"),
    *sorted((ROOT / "tasks").glob("*/task.py")),
]


@pytest.mark.parametrize("path", DOORWAYS, ids=lambda path: str(path.relative_to(ROOT)))
def test_a_doorway_loads_no_heavy_library(path: Path) -> None:
    loaded = set(imports_at_load(ast.parse(path.read_text(encoding="utf-8"))))
    assert not loaded & HEAVY - ({"numpy"} if path.name == "intervals.py" else set())


def test_an_import_in_a_function_or_for_types_is_not_at_load() -> None:
    text = """
import json
if TYPE_CHECKING:
    import torch
def f():
    import peft
try:
    import polars
except ImportError:
    pass
class C:
    import mlflow
"""
    assert set(imports_at_load(ast.parse(text))) == {"json", "polars", "mlflow"}


def test_prefect_is_known_to_flows_and_one_module_of_tasks_only() -> None:
    knowing = {path for path in own_files("tasks", "schemas") if "prefect" in all_imports(path)}
    assert knowing == KNOW_PREFECT


def test_every_room_has_a_doorway_or_no_stage_at_all() -> None:
    rooms = {path.name for path in (ROOT / "tasks").iterdir() if path.is_dir() and (path / "__init__.py").exists()}
    with_a_doorway = {path.parent.name for path in (ROOT / "tasks").glob("*/task.py")}
    assert rooms - with_a_doorway == {"answers", "inference", "pages", "reuse", "statistics"}


def test_stages_are_defined_in_doorways_only() -> None:
    decorated = {path for path in own_files("tasks") if "\n@stage(" in path.read_text(encoding="utf-8")}
    assert decorated == set((ROOT / "tasks").glob("*/task.py"))


def test_an_init_file_holds_at_most_a_docstring() -> None:
    trees = {path: ast.parse(path.read_text(encoding="utf-8")) for path in own_files("flows", "tasks", "schemas")}
    inits = {path: tree for path, tree in trees.items() if path.name == "__init__.py"}
    assert len(inits) > 10
    assert [path for path, tree in inits.items() if tree.body[ast.get_docstring(tree) is not None :]] == []


def test_no_module_bears_a_name_that_says_nothing() -> None:
    assert [
        path.name
        for path in own_files("flows", "tasks", "schemas")
        if path.stem in NAMES_THAT_SAY_NOTHING or path.stem.startswith("base_")
    ] == []


def test_no_flow_file_is_named_like_an_installed_library() -> None:
    code = "import sys, importlib.util; print([name for name in sys.argv[1:] if importlib.util.find_spec(name)])"
    names = [path.stem for path in own_files("flows") if path.stem != "__init__"]
    found = subprocess.run(
        [sys.executable, "-I", "-c", code, *names], capture_output=True, text=True, check=True, cwd="/"
    ).stdout
    assert found.strip() == "[]"


@pytest.mark.slow
def test_loading_every_flow_loads_no_engine() -> None:
    heavy = sorted(HEAVY)
    code = (
        "import sys, flows.command_line.commands, flows.retrain, flows.train, flows.command_line.doctor, "
        f"flows.command_line.bootstrap; print([name for name in {heavy} if name in sys.modules])"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT).stdout
    assert found.strip() == "[]"


def test_the_help_text_loads_neither_prefect_nor_pydantic() -> None:
    look = "print([name for name in ('prefect', 'pydantic', 'torch') if name in sys.modules])"
    code = f"import sys\nfrom flows.command_line.main import main\nassert main(['--help']) == 0\n{look}"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT).stdout
    assert found.strip().splitlines()[-1] == "[]"
