"""Inside a flow a stage is a Prefect task: cached, retried when that may help, healed when its artifact is lost."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator

import pytest
from prefect import flow
from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import ArtifactFilter, ArtifactFilterKey
from prefect.client.schemas.sorting import TaskRunSort

from flows.inputs.sources import secret_of
from schemas.config import StageLimits
from schemas.errors import MachineLacks, TimeLimitReached, TransientFault
from tasks.reuse.current_store import current_store
from tasks.reuse.planning import enter_run
from tasks.reuse.prefect_tasks import FlowRunPage, publish_markdown, publish_stages, publish_table
from tests.reuse.counting_stage import count_letters

pytestmark = pytest.mark.filterwarnings("default::ResourceWarning")


@pytest.fixture(scope="module", autouse=True)
def server() -> Iterator[None]:
    """A real Prefect server with a database of its own."""
    from prefect.testing.utilities import prefect_test_harness

    with prefect_test_harness(server_startup_timeout=60):
        yield


@flow
def count_twice(text: str) -> str:
    """Use the stage twice, the second time under another name."""
    first = count_letters(text, {}, subject="first")
    publish_markdown("verdict", "# done")
    return first.digest + count_letters(text, {}, subject="again").digest


@flow
def show_rows(rows: list[dict[str, object]]) -> None:
    """Show rows as a stage does that refuses them."""
    FlowRunPage("validate_data").table("refused-rows", rows, "The first rows")


@pytest.mark.slow
def test_refused_rows_are_a_table_on_the_flow_runs_page() -> None:
    from prefect.artifacts import Artifact

    rows: list[dict[str, object]] = [
        {"row_id": 3, "file": "rows.jsonl", "reason": "empty_answer", "mend": "Write the answer.", "prompt": None}
    ]
    publish_table("refused-rows", rows, "outside a flow run there is no page")
    assert Artifact.get("refused-rows") is None
    show_rows(rows)
    shown = Artifact.get("refused-rows")
    assert shown is not None
    assert (shown.type, shown.description, json.loads(str(shown.data))) == ("table", "The first rows", rows)


def last_two_states() -> dict[str, str]:
    """Return name -> state name of the last flow run's two task runs."""
    with get_client(sync_client=True) as client:
        runs = client.read_task_runs(sort=TaskRunSort.EXPECTED_START_TIME_DESC, limit=2)
    return {run.name: run.state.name for run in reversed(runs) if run.state and run.state.name}


@pytest.mark.slow
def test_the_second_use_of_a_key_is_cached_and_named(runs: Callable[[], int]) -> None:
    count_twice("cached")
    assert last_two_states() == {"count_letters[first]": "Completed", "count_letters[again]": "Cached"}
    assert runs() == 1


@pytest.mark.slow
def test_the_log_names_the_key_and_the_artifact(runs: Callable[[], int], caplog: pytest.LogCaptureFixture) -> None:
    digest = count_twice("logged")[:64]
    lines = [
        record.message for record in caplog.records if record.message.startswith("count_letters[again]: Cached, key ")
    ]
    assert len(lines) == 1
    assert lines[0].endswith(f"artifact {digest}")


@pytest.mark.slow
def test_a_stage_that_ran_outside_a_flow_is_cached_inside(runs: Callable[[], int]) -> None:
    count_letters("outside", {})
    count_twice("outside")
    assert set(last_two_states().values()) == {"Cached"}
    assert runs() == 1


@pytest.mark.slow
def test_a_lost_artifact_is_made_again_though_prefect_has_a_record(runs: Callable[[], int]) -> None:
    digest = count_twice("lost")[:64]
    (current_store().root / "artifacts" / digest / "letters.txt").unlink()
    count_twice("lost")
    assert runs() == 2


@pytest.mark.slow
def test_a_transient_fault_is_retried_and_passes(runs: Callable[[], int]) -> None:
    count_twice("transient")
    assert runs() == 3


@pytest.mark.slow
def test_a_fault_of_the_code_is_not_retried(runs: Callable[[], int]) -> None:
    with pytest.raises(ValueError, match="a fault of the code"):
        count_twice("broken")
    assert runs() == 1


@pytest.mark.slow
def test_a_password_kept_in_a_secret_block_is_found_there() -> None:
    from prefect.blocks.system import Secret

    Secret(value="s3cret").save("tickets")  # type: ignore[unused-coroutine]
    assert secret_of("data.password", "prefect:tickets") == "s3cret"
    with pytest.raises(MachineLacks, match="Prefect has no Secret block named nothing"):
        secret_of("data.password", "prefect:nothing")


@flow
def count_within(text: str, limits: StageLimits) -> str:
    """Use the stage with limits of its own."""
    enter_run("limited", {"count_letters": limits})
    digest = count_letters(text, {}).digest
    publish_stages()
    return digest


@pytest.mark.slow
def test_a_stage_is_tried_as_often_as_the_config_says(runs: Callable[[], int]) -> None:
    with pytest.raises(TransientFault):
        count_within("transient", StageLimits(retries=1))
    assert runs() == 2


@pytest.mark.slow
def test_a_stage_that_takes_too_long_ends_names_its_setting_and_is_not_tried_again(
    runs: Callable[[], int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COUNTING_STAGE_SECONDS", "30")
    with pytest.raises(TimeLimitReached, match=r"0\.01 minutes. Raise stages.count_letters.minutes"):
        count_within("slow", StageLimits(minutes=0.01))
    assert runs() == 1
    assert last_two_states()["count_letters"] == "TimedOut"
    monkeypatch.setenv("COUNTING_STAGE_SECONDS", "0")
    count_within("slow", StageLimits(minutes=0.5))
    assert runs() == 2


@pytest.mark.slow
def test_the_page_of_a_run_has_a_table_of_stages_with_their_keys(runs: Callable[[], int]) -> None:
    digest = count_within("table", StageLimits())
    with get_client(sync_client=True) as client:
        shown = client.read_artifacts(artifact_filter=ArtifactFilter(key=ArtifactFilterKey(any_=["stages"])))
    rows = [row for table in shown for row in json.loads(str(table.data)) if row.get("artifact") == digest]
    assert [(row["stage"], row["state"], len(row["key"])) for row in rows] == [("count_letters", "Completed", 40)]
