"""The decorator that makes a function a stage: cached by content, retryable, peekable.

    @stage(libraries=("transformers", "safetensors"))
    def fetch_base(source: BaseSource, *, workdir: WorkDirectory) -> ModelArtifact:
        from tasks.base.conversion import convert_base

        return ModelArtifact(name=source.name, **convert_base(source, workdir.out))

The function writes what is to be sealed into `workdir.out` and returns its artifact without a digest. Its key is the
stage's name, its arguments (configs by value, artifacts by digest), the source of its module and of all modules of ours
that it imports, and the versions of `libraries`. Docs: docs/architecture.md.
"""

from __future__ import annotations

import functools
import inspect
import shutil
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar, cast

from schemas.artifacts import Artifact
from tasks.reuse.current_store import current_store
from tasks.reuse.keys import Ingredients, changed_ingredients, digest_of, flatten, library_versions, source_digests
from tasks.reuse.memory import hand_back, peak_memory
from tasks.reuse.planning import Pending, Plan, PlannedStage, current_plan, current_run
from tasks.reuse.progress import Reporter, current_reporter
from tasks.reuse.store import ArtifactStore

A = TypeVar("A", bound=Artifact)


@dataclass(frozen=True)
class WorkDirectory:
    """Where a stage works: `folder` survives a crash (checkpoints), `out` is what gets sealed, `store` opens its
    inputs, and `reporter` receives its progress.
    """

    folder: Path
    store: ArtifactStore
    reporter: Reporter

    @property
    def out(self) -> Path:
        """The folder whose files are sealed when the stage returns."""
        return self.folder / "out"

    def open(self, artifact: Artifact) -> Path:
        """Return the checked folder of an input artifact."""
        return self.store.open(artifact.digest)


class Stage(Generic[A]):
    """A function that answers from the store when it can, and seals its answer when it cannot."""

    def __init__(self, function: Callable[..., A], libraries: tuple[str, ...]) -> None:
        self.function = function
        self.name = function.__name__
        self.libraries = libraries
        self.signature = inspect.signature(function)
        functools.update_wrapper(self, function)

    @functools.cached_property
    def returns(self) -> type[A]:
        """The artifact class that the function is annotated to return."""
        hint = self.function.__annotations__["return"]
        return cast("type[A]", getattr(sys.modules[self.function.__module__], hint) if isinstance(hint, str) else hint)

    def __call__(self, *args: Any, subject: str = "", **kwargs: Any) -> A:
        """Return the stage's artifact, recorded or made now. `subject` tells two uses of a stage apart."""
        plan = current_plan.get()
        label = f"{self.name}[{subject}]" if subject else self.name
        arguments = self.signature.bind_partial(*args, **kwargs).arguments
        pending = [value.label for value in _walk(arguments.values()) if isinstance(value, Pending)]
        if pending and plan is not None:
            plan.stages.append(PlannedStage(label, "depends", f"on {_first_few(list(dict.fromkeys(pending)))}"))
            return cast("A", Pending(label))
        call = StageCall(self, label, arguments, current_store())
        return call.run() if plan is None else call.peek(plan)

    def call(self, *args: Any, **kwargs: Any) -> StageCall[A]:
        """Return a use of the stage without running it, to ask for its key or its record."""
        return StageCall(self, self.name, self.signature.bind_partial(*args, **kwargs).arguments, current_store())

    def ingredients(self, arguments: dict[str, Any]) -> Ingredients:
        """Return the named ingredients of the key for these arguments."""
        table: Ingredients = {"stage": self.name}
        for name, value in arguments.items():
            table.update(flatten(name, value))
        return table | source_digests([self.function.__module__]) | library_versions(self.libraries)


@dataclass
class StageCall(Generic[A]):
    """One use of a stage: its arguments, its key, and the store that it answers from."""

    stage: Stage[A]
    label: str
    arguments: dict[str, Any]
    store: ArtifactStore

    def __post_init__(self) -> None:
        """Compute the key; a key that cannot be computed is an error here, never a silently uncached run."""
        self.ingredients = self.stage.ingredients(self.arguments)
        self.key = digest_of(self.ingredients)[:40]

    @property
    def stage_name(self) -> str:
        """The stage's name."""
        return self.stage.name

    @property
    def description(self) -> str | None:
        """The docstring of the stage's function."""
        return self.stage.function.__doc__

    @property
    def returns(self) -> type[A]:
        """The artifact class of the stage's answer."""
        return self.stage.returns

    @property
    def workdir_name(self) -> str:
        """The name of this call's work directory in the store; it keeps what a failed stage left."""
        return f"{self.stage.name}-{self.key}"

    def recorded(self) -> A | None:
        """Return the recorded artifact if the store has it whole."""
        record = self.store.record(self.stage.name, self.key)
        return self.stage.returns.model_validate(record["artifact"]) if record else None

    def latest(self) -> dict[str, Any] | None:
        """Return the last record of this stage: in this run, else in any."""
        return self.store.latest(self.stage.name, self.label, current_run.get())

    def why(self) -> str:
        """Say why this call is a miss: the first ingredients that changed since the stage's last record."""
        if self.store.promised(self.stage.name, self.key):
            return "its artifact is missing or was altered"
        nearest = self.latest()
        if nearest is None:
            return "first time"
        return changes_in_words(changed_ingredients(nearest["ingredients"], self.ingredients))

    def peek(self, plan: Plan) -> A:
        """Answer from the record, or say in the plan that the stage would run."""
        plan.ingredients[self.label] = self.ingredients
        found = self.recorded()
        if found is not None:
            plan.add_hit(self.label, self.key, found, self.store.record(self.stage.name, self.key) or {})
            return found
        past = self.latest() or {}
        plan.stages.append(
            PlannedStage(self.label, "will run", self.why(), self.key, past.get("seconds"), past.get("peak_bytes"))
        )
        return cast("A", Pending(self.label))

    def run(self) -> A:
        """Answer from the record or run the stage; inside a Prefect flow as a Prefect task, elsewhere directly."""
        from tasks.reuse.prefect_tasks import in_flow_run, run_as_task

        return run_as_task(self) if in_flow_run() else self.answer()

    def answer(self) -> A:
        """Answer from the record, or be the only worker of this key: run, seal, record."""
        reporter = current_reporter.get()
        found = self.recorded()
        if found is None:
            with self.store.holding(
                self.workdir_name, lambda owner: reporter.say(f"{self.label}: waiting for {owner}, which runs it")
            ):
                found = self.recorded()
                if found is None:
                    return self._make(reporter)
        reporter.stage_finished(self.label, "hit", 0.0, 0)
        return found

    def _make(self, reporter: Reporter) -> A:
        reporter.stage_started(self.label, self.why())
        workdir = WorkDirectory(self.store.folder("work", self.workdir_name), self.store, reporter)
        shutil.rmtree(workdir.out, ignore_errors=True)
        self.store.folder("work", workdir.folder.name, "out")
        started = time.monotonic()
        try:
            with peak_memory() as peak, self.store.writing():
                unsealed = self.stage.function(**self.arguments, workdir=workdir)
            sealed = unsealed.model_copy(update={"digest": self.store.seal(unsealed.kind, workdir.out)})
        except BaseException as error:
            # What is half written goes; the checkpoints beside it stay for the next try.
            shutil.rmtree(workdir.out, ignore_errors=True)
            reporter.stage_failed(self.label, error)
            raise
        seconds = time.monotonic() - started
        self._write_record(sealed, seconds, peak.bytes)
        shutil.rmtree(workdir.folder, ignore_errors=True)
        hand_back()
        reporter.stage_finished(self.label, "ran", seconds, peak.bytes)
        return sealed

    def _write_record(self, sealed: A, seconds: float, peak_bytes: int) -> None:
        record = {
            "key": self.key,
            "label": self.label,
            "run": current_run.get(),
            "ingredients": self.ingredients,
            "artifact": sealed.model_dump(mode="json"),
            "seconds": round(seconds, 3),
            "peak_bytes": peak_bytes,
            "sealed_at": time.time(),
        }
        self.store.write_record(self.stage.name, self.key, record)


def stage(*, libraries: tuple[str, ...] = ()) -> Callable[[Callable[..., A]], Stage[A]]:
    """Make a function a stage; `libraries` are the packages whose versions affect its numbers."""
    return lambda function: Stage(function, libraries)


def _first_few(labels: list[str], most: int = 2) -> str:
    return ", ".join(labels[:most]) + (f" (+{len(labels) - most} more)" if len(labels) > most else "")


def _walk(values: Any) -> Any:
    for value in values:
        if isinstance(value, (list, tuple)):
            yield from _walk(value)
        else:
            yield value


def changes_in_words(changes: list[tuple[str, Any, Any]], most: int = 2) -> str:
    """Return what changed, settings before sources before libraries; over `most` changes the rest is counted."""
    named = ", ".join(_change(*change) for change in sorted(changes, key=_by_weight)[:most])
    return named + (f" (+{len(changes) - most} more)" if len(changes) > most else "")


def _by_weight(change: tuple[str, Any, Any]) -> tuple[int, str]:
    name = change[0]
    return (2 if name.startswith("library.") else 1 if name.startswith("source.") else 0, name)


def _change(name: str, old: Any, new: Any) -> str:
    if name.startswith("source."):
        return f"{name.removeprefix('source.')} was edited"
    return f"{name} {_short(old)} -> {_short(new)}"


def _short(value: Any) -> str:
    text = "none" if value is None else str(value)
    return text if len(text) <= 24 else f"{text[:10]}…"
