"""A stage as a Prefect task: its state, retries and cache are Prefect's, and Prefect's record mirrors the store's.

Prefect never checks that the artifact of a record still exists (it would serve a lost adapter as "Cached"), so the
policy here looks at the store first: a record whose artifact is whole is mirrored for Prefect, any other is removed.
"""

from __future__ import annotations

import functools
import json
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from prefect import get_run_logger, task
from prefect.artifacts import (
    create_link_artifact,
    create_markdown_artifact,
    create_progress_artifact,
    create_table_artifact,
    update_progress_artifact,
)
from prefect.cache_policies import CachePolicy
from prefect.context import FlowRunContext
from prefect.filesystems import LocalFileSystem
from prefect.results import ResultRecord, ResultRecordMetadata  # type: ignore[attr-defined]
from prefect.serializers import JSONSerializer
from prefect.settings import PREFECT_UI_URL
from prefect.task_engine import TaskRunTimeoutError
from prefect.tasks import exponential_backoff

from schemas.artifacts import Artifact
from schemas.config import StageLimits
from schemas.errors import TimeLimitReached
from tasks.reuse.keys import digest_of
from tasks.reuse.planning import current_limits
from tasks.reuse.progress import Reporter, Reporters, current_reporter
from tasks.reuse.retries import may_pass
from tasks.reuse.store import write_atomically

if TYPE_CHECKING:
    from tasks.reuse.store import ArtifactStore

A = TypeVar("A", bound=Artifact)
A_co = TypeVar("A_co", bound=Artifact, covariant=True)
ARTIFACT_CHARACTERS = 100_000
SECONDS_BETWEEN_MOVES = 2.0


class Call(Protocol[A_co]):
    """What this module needs of a StageCall (tasks/reuse/stage.py): its names, its key, its store and its answer."""

    key: str
    label: str
    store: ArtifactStore

    @property
    def stage_name(self) -> str: ...  # noqa: D102

    @property
    def description(self) -> str | None: ...  # noqa: D102

    @property
    def returns(self) -> type[A_co]: ...  # noqa: D102

    def recorded(self) -> A_co | None: ...  # noqa: D102

    def answer(self) -> A_co: ...  # noqa: D102


def in_flow_run() -> bool:
    """Tell whether this code runs inside a Prefect flow run."""
    return FlowRunContext.get() is not None


@dataclass
class MirrorOfStore(CachePolicy):
    """Prefect's cache key is the stage's key; Prefect has a record exactly while the store has the whole artifact."""

    call: Any = field(default=None)

    def compute_key(self, task_ctx: Any, inputs: Any, flow_parameters: Any, **kwargs: Any) -> str:
        """Return the stage's key after matching Prefect's record to the store's."""
        name = f"{self.call.stage_name}-{self.call.key}"
        path = self.call.store.folder("prefect") / name
        found = self.call.recorded()
        if found is None:
            path.unlink(missing_ok=True)
        else:
            write_atomically(path, _mirrored(name, found).decode(), self.call.store)
        return name


def _mirrored(name: str, found: Artifact) -> bytes:
    metadata = ResultRecordMetadata(serializer=JSONSerializer(), storage_key=name)
    return ResultRecord(result=found.model_dump(mode="json"), metadata=metadata).serialize()


@functools.cache
def _mirror_block(folder: str) -> LocalFileSystem:
    """Return the saved block for the mirror's folder: Prefect only takes a result storage that its server knows."""
    block = LocalFileSystem(basepath=folder)
    block.save(f"tuneworthy-{digest_of(folder)[:12]}", overwrite=True)
    return block


def is_transient(task: Any, task_run: Any, state: Any) -> bool:
    """Tell Prefect whether to try a failed stage again."""
    try:
        state.result()
    except TaskRunTimeoutError:
        return False
    except Exception as fault:  # noqa: BLE001 - every class is looked at
        return may_pass(fault)
    return False


def run_as_task(call: Call[A]) -> A:
    """Run one use of a stage as a Prefect task and return its artifact."""

    def answer(key: str) -> dict[str, Any]:
        token = current_reporter.set(Reporters(current_reporter.get(), FlowRunPage(call.stage_name)))
        try:
            return call.answer().model_dump(mode="json")
        finally:
            current_reporter.reset(token)

    limits = current_limits.get().get(call.stage_name, StageLimits())
    as_task = task(
        name=call.stage_name,
        task_run_name=call.label,
        description=call.description,
        cache_policy=MirrorOfStore(call=call),
        persist_result=True,
        result_serializer="json",
        result_storage=_mirror_block(str(call.store.folder("prefect"))),
        retries=limits.retries,
        timeout_seconds=None if limits.minutes is None else 60 * limits.minutes,
        retry_delay_seconds=exponential_backoff(backoff_factor=1),
        retry_jitter_factor=0.5,
        retry_condition_fn=is_transient,
    )(answer)
    started = time.monotonic()
    state = as_task(call.key, return_state=True)
    row = {"stage": call.label, "state": state.name, "seconds": round(time.monotonic() - started, 1), "key": call.key}
    _rows_of_this_run().append(row)
    try:
        result = state.result()
    except TaskRunTimeoutError as fault:
        raise TimeLimitReached(
            f"{call.label} did not end within {limits.minutes:g} minutes. Raise stages.{call.stage_name}.minutes, or "
            "run again to continue from what it saved."
        ) from fault
    row["artifact"] = result["digest"]
    get_run_logger().info(f"{call.label}: {state.name}, key {call.key}, artifact {result['digest']}")
    if state.name == "Cached":
        current_reporter.get().stage_finished(call.label, "hit", 0.0, 0)
    return call.returns.model_validate(json.loads(json.dumps(result)))


_stage_rows: dict[Any, list[dict[str, Any]]] = {}


def _rows_of_this_run() -> list[dict[str, Any]]:
    context = FlowRunContext.get()
    return _stage_rows.setdefault(context.flow_run.id if context and context.flow_run else None, [])


def publish_stages() -> None:
    """Show the stages of this flow run so far on its page as one table: state, seconds, key, artifact."""
    publish_table("stages", _rows_of_this_run(), "Every stage of this run; the store has its record under its key.")


def publish_markdown(key: str, markdown: str) -> None:
    """Show a markdown text on the flow run's page; do nothing outside a flow run.

    Prefect stores artifacts in its database without a limit, so a text over ARTIFACT_CHARACTERS is cut with a note.
    """
    if not in_flow_run():
        return
    if len(markdown) > ARTIFACT_CHARACTERS:
        markdown = markdown[:ARTIFACT_CHARACTERS] + "\n\n(cut here; the whole text is in the store)"
    create_markdown_artifact(markdown, key=key)


def publish_table(key: str, rows: list[dict[str, Any]], description: str) -> None:
    """Show rows as a table on the flow run's page; do nothing outside a flow run, or without rows."""
    if in_flow_run() and rows:
        create_table_artifact(rows, key=key, description=description)


def publish_link(key: str, address: str | None, description: str) -> None:
    """Show a link on the flow run's page; do nothing outside a flow run, or without an address."""
    if in_flow_run() and address:
        create_link_artifact(address, key=key, link_text=description, description=description)


def page_of(flow_run_id: object) -> str | None:
    """Return the address of a flow run's page, or None where no server with a UI is named."""
    pages = PREFECT_UI_URL.value()
    return f"{pages}/runs/flow-run/{flow_run_id}" if pages else None


class FlowRunPage(Reporter):
    """Shows a stage in Prefect's UI: log lines, and a progress artifact that moves at most every two seconds."""

    def __init__(self, stage_name: str) -> None:
        self.key = stage_name.replace("_", "-")
        self.artifact: Any = None
        self.moved_at = 0.0

    def stage_started(self, label: str, why: str) -> None:
        """Log why the stage runs."""
        get_run_logger().info(f"{label} runs: {why}")

    def say(self, line: str) -> None:
        """Log the line."""
        get_run_logger().info(line)

    def table(self, key: str, rows: list[dict[str, Any]], description: str) -> None:
        """Show the rows on the flow run's page."""
        publish_table(key, rows, description)

    def advance(self, done: float, total: float, note: str = "") -> None:
        """Move the progress artifact."""
        now = time.monotonic()
        if now - self.moved_at < SECONDS_BETWEEN_MOVES and done < total:
            return
        self.moved_at = now
        percent = 100 * done / max(total, 1e-9)
        if self.artifact is None:
            self.artifact = create_progress_artifact(percent, key=self.key, description=note or None)
        else:
            update_progress_artifact(self.artifact, percent, description=note or None)
