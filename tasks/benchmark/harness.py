"""lm-eval, run on a model in memory: task files staged into one folder, every item's accuracy kept."""

from __future__ import annotations

import contextlib
import logging
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest import mock

from schemas.artifacts import BenchmarkSources
from schemas.errors import ConfigRefused
from tasks.benchmark.packaged import library_root, task_library
from tasks.benchmark.scoring import TreeLM
from tasks.benchmark.task_files import Function, TaskFile, mapped, read_task_file, write_task_file

# One is taken, in this order; a task without any of them keeps the first per-item number that it has.
ACCURACIES = ("acc", "exact_match")
NOISY = ("lm_eval", "datasets")

Items = dict[str, list[float]]


@dataclass(frozen=True)
class Harness:
    """Loaded lm-eval tasks: leaf tasks by name, and the leaves of every group that was asked for."""

    loaded: dict[str, Any]
    groups: dict[str, tuple[str, ...]]
    limit: int | None
    seed: int

    def measure(self, model: Any, tokenizer: Any, advance: Callable[[int, int], None]) -> Items:
        """Return every item's accuracy (0..1) by task, in the order of the task's items.

        Raises:
            ConfigRefused: a task gives no number for a single item that is better when higher.
        """
        from lm_eval import evaluate

        with _quiet():
            results = evaluate(
                TreeLM(model, tokenizer, advance), self.loaded, limit=self.limit, bootstrap_iters=0, log_samples=True
            )
        return {
            name: _item_scores(self.loaded["tasks"][name], samples)
            for name, samples in sorted(results["samples"].items())
        }


def load_harness(sources: BenchmarkSources, folder: Path, *, limit: int | None, seed: int) -> Harness:
    """Stage the task files into `folder` and load them with their data.

    Raises:
        ConfigRefused: lm-eval cannot use a task.
    """
    import datasets
    from lm_eval.tasks import TaskManager

    datasets.disable_progress_bars()
    stage_tasks(sources, folder)
    # It prints while it reads some task files; stdout may be read by a program.
    with _quiet(), contextlib.redirect_stdout(sys.stderr):
        manager = TaskManager(include_path=str(folder), include_defaults=False)
        loaded = _load(manager, sources.names)
    for task in loaded["tasks"].values():
        task.set_fewshot_seed(seed=seed)
    groups = {
        name: tuple(task.task_name for task in group.get_all_tasks())
        for name, group in loaded["groups"].items()
        if name in sources.names
    }
    return Harness(loaded, groups, limit, seed)


def _load(manager: Any, names: tuple[str, ...]) -> dict[str, Any]:
    try:
        return dict(manager.load(list(names)))
    except (ValueError, KeyError, TypeError, AttributeError, ImportError, OSError) as fault:
        what = f"{', '.join(names)}: {fault!r}"
        raise ConfigRefused(
            f"benchmark.tasks: lm-eval cannot load {what}. Mend the task file, or leave it out of benchmark.tasks."
        ) from fault


def stage_tasks(sources: BenchmarkSources, folder: Path) -> None:
    """Write every task file into one folder, free of includes and relative paths; hub data is held at the version that
    was located.
    """
    folder.mkdir(parents=True, exist_ok=True)
    local = [
        read_task_file(Path(file.path), library_root()) for file in sources.files if file.suffix in (".yaml", ".yml")
    ]
    packaged = [task_library().read(name) for name in sources.packaged]
    for number, file in enumerate([*packaged, *(file for file in local if file.name)]):
        write_task_file(folder / f"{number:04}.yaml", _staged(file, folder, sources.hub))


def _staged(file: TaskFile, folder: Path, hub: dict[str, str]) -> dict[str, Any]:
    content = mapped(file.content, lambda text: _linked(text, folder) if isinstance(text, Function) else text)
    if file.is_group:
        return dict(content)
    options = {name: value for name, value in file.options.items() if name != "trust_remote_code"}
    if file.hub_set and len(version := hub.get(file.hub_set, "")) == 40:
        options["revision"] = version
    elif not file.hub_set:
        options["cache_dir"] = str(folder / "data")
    return {**content, "dataset_kwargs": options}


def _linked(function: Function, folder: Path) -> Function:
    """Point to a code file by a link beside the staged file: lm-eval follows it, so the code still finds what lies
    around it.
    """
    path, is_file, name = function.partition(":")
    if not is_file:
        return function
    links = {link.resolve(): link for link in folder.glob("code*.py")}
    link = links.get(Path(path).resolve()) or folder / f"code{len(links)}.py"
    if not link.exists():
        link.symlink_to(Path(path).resolve())
    return Function(f"{link.stem}.{name}")


def _item_scores(task: Any, samples: list[dict[str, Any]]) -> list[float]:
    better = task.higher_is_better()
    names = [*ACCURACIES, *samples[0]["metrics"]]
    metric = next(
        (
            name
            for name in names
            if name in samples[0] and better.get(name, False) and isinstance(samples[0][name], (int, float))
        ),
        None,
    )
    if metric is None:
        raise ConfigRefused(
            f"benchmark.tasks: task {task.task_name!r} gives {', '.join(samples[0]['metrics'])}, none of which is a "
            "number for one item "
            "that is better when higher; the gate compares item by item. Name a task with acc or exact_match."
        )
    first = samples[0]["filter"]
    kept = sorted((sample for sample in samples if sample["filter"] == first), key=lambda sample: sample["doc_id"])
    return [float(sample[metric]) for sample in kept]


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keep lm-eval's progress bars and notes off the terminal: the run shows its own."""
    levels = {name: logging.getLogger(name).level for name in NOISY}
    for name in NOISY:
        logging.getLogger(name).setLevel(logging.ERROR)
    try:
        with mock.patch("lm_eval.api.task.tqdm", _without_bar), mock.patch("lm_eval.api.model.tqdm", _without_bar):
            yield
    finally:
        for name, level in levels.items():
            logging.getLogger(name).setLevel(level)


def _without_bar(items: Any, *_: Any, **__: Any) -> Any:
    return items
