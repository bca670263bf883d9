"""Who holds the places of a Prefect work pool."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from prefect.client.orchestration import SyncPrefectClient
    from prefect.client.schemas.objects import FlowRun


def places_held(client: SyncPrefectClient, pool: str, tags: list[str] | None = None) -> list[FlowRun]:
    """Return the runs that count against a pool's limit, the longest-held place first.

    Args:
        client: of the server that has the pool.
        pool: the work pool's name.
        tags: only runs that have all of these; None for everybody's.
    """
    from prefect.client.schemas import filters
    from prefect.client.schemas.objects import StateType
    from prefect.client.schemas.sorting import FlowRunSort

    holding = filters.FlowRunFilterStateType(any_=[StateType.PENDING, StateType.RUNNING])
    return client.read_flow_runs(
        flow_run_filter=filters.FlowRunFilter(
            state=filters.FlowRunFilterState(type=holding), tags=filters.FlowRunFilterTags(all_=tags) if tags else None
        ),
        work_pool_filter=filters.WorkPoolFilter(name=filters.WorkPoolFilterName(any_=[pool])),
        sort=FlowRunSort.START_TIME_ASC,
    )
