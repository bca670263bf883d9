"""prefect.yaml: what a Prefect server can be asked to run exists, takes these parameters and holds on another
machine.
"""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any

import pytest
import yaml
from prefect import Flow

from flows.command_line.bootstrap import TAG

ROOT = Path(__file__).parents[2]
PLAN = yaml.safe_load((ROOT / "prefect.yaml").read_text(encoding="utf-8"))
DEPLOYMENTS: dict[str, Any] = {
    f"{entry['entrypoint'].rpartition('.')[2]}/{entry['name']}": entry for entry in PLAN["deployments"]
}


def flow_of(deployment: str) -> Flow[Any, Any]:
    """Return the flow that a deployment starts."""
    module, _, name = DEPLOYMENTS[deployment]["entrypoint"].rpartition(".")
    found = getattr(importlib.import_module(module), name)
    assert isinstance(found, Flow)
    return found


def test_there_are_five_deployments() -> None:
    assert list(DEPLOYMENTS) == ["finetune/cpu", "compare/cpu", "train/gpu", "retrain/nightly", "retrain/on-new-data"]


@pytest.mark.parametrize("deployment", DEPLOYMENTS)
def test_an_entrypoint_is_a_flow_of_that_name(deployment: str) -> None:
    assert flow_of(deployment).name == deployment.partition("/")[0]


@pytest.mark.parametrize("deployment", DEPLOYMENTS)
def test_parameters_are_the_flow_s_own(deployment: str) -> None:
    known = flow_of(deployment).parameters.properties
    assert DEPLOYMENTS[deployment].get("parameters", {}).keys() <= known.keys()
    for trigger in DEPLOYMENTS[deployment].get("triggers", []):
        assert trigger["parameters"].keys() <= known.keys()


@pytest.mark.parametrize("deployment", DEPLOYMENTS)
def test_a_deployment_runs_in_a_pool_that_bootstrap_makes(deployment: str) -> None:
    assert DEPLOYMENTS[deployment]["work_pool"]["name"] == ("gpu" if deployment == "train/gpu" else "cpu")


@pytest.mark.parametrize("deployment", DEPLOYMENTS)
def test_a_deployment_has_the_tag_by_which_bootstrap_knows_our_runs(deployment: str) -> None:
    assert TAG in DEPLOYMENTS[deployment]["tags"]


def test_nothing_is_pulled_and_no_folder_of_the_deployer_is_baked_in() -> None:
    assert PLAN["pull"] == []
    assert "{{ $" not in (ROOT / "prefect.yaml").read_text(encoding="utf-8")


def test_retraining_runs_one_at_a_time_and_a_second_run_is_cancelled() -> None:
    limits = [DEPLOYMENTS[name]["concurrency_limit"] for name in ("retrain/nightly", "retrain/on-new-data")]
    assert limits == [{"limit": 1, "collision_strategy": "CANCEL_NEW"}] * 2


def test_retraining_is_started_by_the_clock_and_by_new_data() -> None:
    (schedule,) = DEPLOYMENTS["retrain/nightly"]["schedules"]
    (trigger,) = DEPLOYMENTS["retrain/on-new-data"]["triggers"]
    assert (schedule["cron"], schedule["timezone"], schedule["active"]) == ("30 2 * * *", "UTC", True)
    assert trigger["expect"] == ["tuneworthy.data.published"]


def test_the_configs_that_are_kept_fresh_exist() -> None:
    files = [entry["parameters"]["config_file"] for entry in DEPLOYMENTS.values() if "parameters" in entry]
    assert files
    assert all((ROOT / file).is_file() for file in files)
