"""What training would take is told by `plan` from files and past records, and what is not known is said to be
unknown.
"""

from __future__ import annotations

import shutil
import time
from pathlib import Path

import pytest
import yaml

from flows.command_line.costs import costs_table, training_costs
from flows.finetune import finetune
from flows.inputs.config_file import read_config
from schemas.artifacts import AdapterArtifact, ModelArtifact, RenderingArtifact
from tasks.reuse.planning import Plan, PlannedStage, planning
from tasks.reuse.store import ArtifactStore
from tasks.training.running.machine_notes import note_floor
from tests.flows.conftest import small_config


def planned(path: Path) -> Plan:
    """Plan a run on an empty store."""
    with planning() as plan:
        finetune.fn(read_config(path))
    return plan


def with_base(plan: Plan, tiny_model: Path, store: ArtifactStore, folder: Path) -> ModelArtifact:
    """Seal the base and lengths of rows, as if their stages were hits."""
    shutil.copytree(tiny_model, folder / "sealed")
    base = ModelArtifact(digest=store.seal("model", folder / "sealed"), name="tiny", parameters=1, template_digest="0")
    lengths = {
        "rows": 60,
        "window": 2048,
        "limit": 1024,
        "median_tokens": 30,
        "longest_tokens": 40,
        "train_tokens": 6000,
        "supervised_tokens": 600,
    }
    plan.artifacts |= {"fetch_base": base, "check_rendering": RenderingArtifact(digest="0", **lengths)}
    return base


def note_training(store: ArtifactStore, folder: Path, base: str, key: str, seconds: float) -> None:
    """Record a training of 1,000 tokens that took this long."""
    (folder / key).mkdir()
    (folder / key / "weights").write_text(key)
    facts = {
        "method": "lora",
        "base_digest": base,
        "template_digest": "0",
        "parameters": 1,
        "steps": 1,
        "train_tokens": 1000,
        "train_loss": 1.0,
    }
    adapter = AdapterArtifact(
        digest=store.seal("adapter", folder / key), validation_loss=None, seconds=seconds, **facts
    )
    record = {
        "key": key,
        "label": "train_adapter",
        "run": "r",
        "artifact": adapter.model_dump(mode="json"),
        "seconds": seconds,
        "sealed_at": time.time(),
    }
    store.write_record("train_adapter", key, record)


def test_three_methods_stand_side_by_side_and_nothing_is_invented(small: Path) -> None:
    costs = training_costs(read_config(small), planned(small))
    assert costs is not None
    assert [line.method for line in costs.lines] == ["full", "lora", "qlora"]
    assert [line.is_chosen for line in costs.lines] == [False, True, False]
    assert {(line.process_bytes, line.minutes) for line in costs.lines} == {(None, None)}
    full, lora, qlora = costs.lines
    assert full.bytes > lora.bytes > qlora.bytes
    assert full.parameters > lora.parameters == qlora.parameters > 0
    assert "were not rendered yet" in costs.stands_on


def test_minutes_are_those_of_past_trainings_of_this_base_and_method(
    small: Path, tiny_model: Path, store: ArtifactStore, tmp_path: Path
) -> None:
    plan = planned(small)
    base = with_base(plan, tiny_model, store, tmp_path)
    note_training(store, tmp_path, "another base", "a", 1.0)
    note_training(store, tmp_path, base.digest, "b", 2.0)
    note_training(store, tmp_path, base.digest, "c", 10.0)
    note_floor(store, 600_000_000)
    costs = training_costs(read_config(small), plan)
    assert costs is not None
    # 6,000 tokens in one epoch, at the newest record's 100 tokens a second
    assert {line.method: line.minutes for line in costs.lines} == {"full": None, "lora": 1.0, "qlora": None}
    assert {line.process_bytes for line in costs.lines} == {600_000_000}
    assert "rows of 30 tokens" in costs.stands_on
    assert costs_table(costs).row_count == 3


def test_a_plan_that_does_not_train_tells_no_costs(small: Path) -> None:
    assert training_costs(read_config(small), Plan([PlannedStage("train_adapter", "hit", "")])) is None


def test_a_base_that_is_neither_here_nor_in_safetensors_is_said_to_be_unknown(
    small: Path, tiny_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = planned(small)
    monkeypatch.setattr("flows.command_line.costs._base_folder", lambda *_: None)
    costs = training_costs(read_config(small), plan)
    assert costs is not None and not costs.lines
    assert costs.stands_on.startswith("unknown until the base model is in the store")


def test_the_settings_that_a_method_cannot_have_are_left_out_for_it(small: Path, tiny_model: Path) -> None:
    settings = small_config(tiny_model)
    settings["training"] |= {"adapter": "rslora", "targets": ["q_proj"]}
    small.write_text(yaml.safe_dump(settings), encoding="utf-8")
    costs = training_costs(read_config(small), planned(small))
    assert costs is not None
    full, lora, qlora = costs.lines
    assert lora.parameters == qlora.parameters == 2 * 4 * (64 + 64)  # layers, rank, and the sides of q_proj
    assert full.parameters > lora.parameters
