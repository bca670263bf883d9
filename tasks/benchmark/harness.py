"""lm-eval, run on a model in memory: the located task files and no others, every item's accuracy kept."""

from __future__ import annotations

import contextlib
import logging
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest import mock

from schemas.errors import ConfigRefused
from schemas.sections.benchmark import ChatTemplate
from schemas.sources import BenchmarkSources
from tasks.benchmark.packaged import task_library
from tasks.benchmark.scoring import TreeLM
from tasks.benchmark.task_files import YAML, Function, TaskFile, library_root, mapped, read_task_file

# The first of these that a task reports is kept; without one, the first per-item number where higher is better.
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

    def topics(self) -> dict[str, list[str | None]]:
        """Return the `topic` field of every item that may be asked, by task; None where an item has none."""
        return {name: _topics(task, self.limit) for name, task in sorted(self.loaded["tasks"].items())}

    def through_template(self, setting: ChatTemplate) -> set[str]:
        """Return the tasks that are asked through the chat template.

        "auto" takes those whose answers are generated, as arms generate theirs. Likelihoods of given answers are
        compared on plain text: SmolLM2-135M-Instruct falls from 0.51 to 0.26 on arithmetic through its template,
        where guessing gives 0.25, and a loss there could not be seen.
        """
        kinds = {"off": set(), "auto": {"generate_until"}}.get(setting)
        tasks = self.loaded["tasks"].items()
        return {name for name, task in tasks if kinds is None or task.OUTPUT_TYPE in kinds}

    def measure(
        self,
        model: Any,
        tokenizer: Any,
        advance: Callable[[int, int], None],
        places: Mapping[str, list[int]] | None = None,
        chat: ChatTemplate = "off",
    ) -> Items:
        """Return items' accuracy (0..1) by task, in the order of the task's items.

        Args:
            model: that answers.
            tokenizer: its tokenizer.
            advance: is called with how many of the requests at hand are done, and their total.
            places: the items to ask by task, rising; all of them by default.
            chat: which tasks are asked through the chat template.

        Raises:
            ConfigRefused: a task gives no number for a single item that is better when higher.
        """
        asked = places or {name: list(range(len(topics))) for name, topics in self.topics().items()}
        through, found = self.through_template(chat), Items()
        with quiet():
            lm = TreeLM(model, tokenizer, advance)
            for names, is_chat in ((asked.keys() - through, False), (asked.keys() & through, True)):
                if names:
                    found |= self._evaluated(lm, {name: asked[name] for name in sorted(names)}, is_chat)
        return dict(sorted(found.items()))

    def _evaluated(self, lm: TreeLM, places: dict[str, list[int]], is_chat: bool) -> Items:
        from lm_eval import evaluate

        tasks = {name: self.loaded["tasks"][name] for name in places}
        for task in tasks.values():
            task.set_fewshot_seed(seed=self.seed)  # both models see the same examples, whatever was asked before
        results = evaluate(
            lm,
            {"tasks": tasks, "groups": {}},
            samples=places,
            bootstrap_iters=0,
            log_samples=True,
            apply_chat_template=is_chat,
            fewshot_as_multiturn=is_chat,
        )
        return {name: _item_scores(tasks[name], samples) for name, samples in results["samples"].items()}


def load_harness(sources: BenchmarkSources, folder: Path, *, limit: int | None, seed: int) -> Harness:
    """Load the tasks with their data; local data is converted into `folder`.

    Raises:
        ConfigRefused: lm-eval cannot use a task.
    """
    import datasets

    datasets.disable_progress_bars()
    # Some tasks' code prints as soon as it is imported; stdout may be read by a program.
    with quiet(), contextlib.redirect_stdout(sys.stderr):
        loaded = _load(sources, folder)
    groups = {
        name: tuple(task.task_name for task in group.get_all_tasks())
        for name, group in loaded["groups"].items()
        if name in sources.names
    }
    return Harness(loaded, groups, limit, seed)


def _load(sources: BenchmarkSources, folder: Path) -> dict[str, Any]:
    from lm_eval.tasks import TaskManager
    from lm_eval.tasks._index import TaskIndex

    manager = TaskManager(include_defaults=False)
    try:
        for file in _task_files(sources):
            # Without a path lm-eval takes the content as given, and does not read the file a second time.
            TaskIndex.process_cfg(_completed(file, folder, sources.hub), None, manager.task_index)
        return dict(manager.load(list(sources.names)))
    except (ValueError, KeyError, TypeError, AttributeError, ImportError, OSError) as fault:
        what = f"{', '.join(sources.names)}: {fault!r}"
        raise ConfigRefused(
            f"benchmark.tasks: lm-eval cannot load {what}. Fix the task file, or remove it from benchmark.tasks."
        ) from fault


def _task_files(sources: BenchmarkSources) -> list[TaskFile]:
    paths = [Path(file.path) for file in sources.files if file.suffix in YAML]
    local = [read_task_file(path) for path in paths]
    packaged = [task_library().read(name) for name in sources.packaged]
    return [*packaged, *(file for file in local if file.name)]


def _completed(file: TaskFile, folder: Path, hub: dict[str, str]) -> dict[str, Any]:
    """Return a task's content with its functions imported, and its hub data held at the version that was located."""
    content = mapped(file.content, lambda text: _imported(text) if isinstance(text, Function) else text)
    if file.is_group:
        return dict(content)
    options = {name: value for name, value in file.options.items() if name != "trust_remote_code"}
    if file.hub_set and len(version := hub.get(file.hub_set, "")) == 40:
        options["revision"] = version
    elif not file.hub_set:
        options["cache_dir"] = str(folder)
    return {**content, "dataset_kwargs": options}


def _imported(function: Function) -> Any:
    from lm_eval.tasks._yaml_loader import _import_func_in_yml

    path, is_file, name = function.partition(":")
    if is_file:
        return _import_func_in_yml(f"{Path(path).stem}.{name}", Path(path).parent)
    return _import_func_in_yml(path, library_root())


def _topics(task: Any, limit: int | None) -> list[str | None]:
    items = task.eval_docs
    shown = (items[place] for place in range(min(len(items), limit or len(items))))
    return [None if (topic := item.get("topic")) is None else str(topic) for item in shown]


def _item_scores(task: Any, samples: list[dict[str, Any]]) -> list[float]:
    better, first = task.higher_is_better(), samples[0]
    names = (name for name in (*ACCURACIES, *first["metrics"]) if better.get(name, False))
    metric = next((name for name in names if isinstance(first.get(name), (int, float))), None)
    if metric is None:
        raise ConfigRefused(
            f"benchmark.tasks: task {task.task_name!r} reports {', '.join(first['metrics'])}; the gate needs a number "
            "for every item, where higher is better. Name a task that reports acc or exact_match."
        )
    kept = [sample for sample in samples if sample["filter"] == first["filter"]]
    return [float(sample[metric]) for sample in sorted(kept, key=lambda sample: sample["doc_id"])]


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Keep lm-eval's progress bars and log lines off the terminal: the run shows its own progress."""
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
