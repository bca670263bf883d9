"""Looks at the same held-out rows are counted from the records, whatever else is in the store."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from schemas.artifacts import ArmArtifact, DataArtifact
from tasks.decision.measured_before import looks_at
from tasks.decision.verdict.looks import luck_of_the_best, with_looks
from tasks.reuse.store import ArtifactStore
from tests.before_registry import a_verdict

FACTS = {"rows": 9, "score": 0.5, "valid_rate": 1.0, "stopped_rate": 1.0}
TOKENS = {"prompt_tokens": 1.0, "output_tokens": 1.0, "seconds_per_row": 0.1}


@pytest.fixture
def rows(store: ArtifactStore, tmp_path: Path) -> dict[str, DataArtifact]:
    """Three sets of rows; the first two differ on the train side only."""
    found = {}
    for name, held_out, train in (("one", "a", "x"), ("more train rows", "a", "xy"), ("other", "b", "x")):
        folder = tmp_path / name
        folder.mkdir()
        (folder / "held_out.parquet").write_text(held_out)
        (folder / "train.parquet").write_text(train)
        facts = DataArtifact(train_rows=1, held_out_rows=1, refused_rows=0, reasons={}, documents=0)
        found[name] = facts.model_copy(update={"digest": store.seal("data", folder)})
    return found


def measured(
    store: ArtifactStore, data: DataArtifact, arm: str, adapter: str | None, at: float, **settings: str
) -> ArmArtifact:
    ingredients = {"arm.name": arm, "data": data.digest, "adapter": adapter, "seed": 1, **settings}
    artifact = ArmArtifact(digest=f"d{at}", arm=arm, **FACTS, **TOKENS)
    record = {
        "ingredients": ingredients,
        "artifact": artifact.model_dump(),
        "label": arm,
        "run": "r",
        "sealed_at": float(at),
    }
    store.write_record("score_arm", f"k{at}", record)
    return artifact


def test_adapters_are_counted_up_to_the_one_that_is_asked_about(
    store: ArtifactStore, rows: dict[str, DataArtifact]
) -> None:
    first = measured(store, rows["one"], "tuned", "a1", 1)
    measured(store, rows["more train rows"], "tuned", "a2", 2)
    measured(store, rows["other"], "tuned", "a3", 3)
    measured(store, rows["one"], "tuned", "a1", 4, **{"source.tasks/arms/scoring.py": "edited"})
    last = measured(store, rows["one"], "tuned", "a4", 5)
    assert looks_at(rows["one"], [first]) == {"tuned": 1}
    assert looks_at(rows["one"], [last]) == {"tuned": 3}


def test_ways_to_ask_are_counted_arm_by_arm_and_a_new_release_is_no_new_way(
    store: ArtifactStore, rows: dict[str, DataArtifact]
) -> None:
    measured(store, rows["one"], "prompt", None, 1, **{"task.instruction": "Sort."})
    measured(store, rows["one"], "prompt", None, 2, **{"task.instruction": "Sort.", "library.torch": "3"})
    prompt = measured(store, rows["one"], "prompt", None, 3, **{"task.instruction": "Please sort."})
    shots = measured(store, rows["one"], "few_shot", None, 4, **{"task.instruction": "Please sort."})
    assert looks_at(rows["one"], [prompt, shots]) == {"prompt": 2, "few_shot": 1}


def test_the_arm_that_the_verdict_names_says_its_number_and_the_luck_of_the_best() -> None:
    verdict = a_verdict(0.85)
    looks = {verdict.arm: 9}
    found = with_looks(verdict, looks)
    assert next(arm for arm in found.arms if arm.arm == verdict.arm).looks == 9
    assert (
        "9th adapter measured on these held-out rows; the best of 9 equal ones looks better by about"
        in found.caveats[-1]
    )
    assert with_looks(verdict, {}).caveats == verdict.caveats


@pytest.mark.parametrize("looks", [2, 9, 40])
def test_the_luck_of_the_best_is_that_of_equal_arms_drawn_by_chance(looks: int) -> None:
    chance = np.random.default_rng(looks)
    own_error, groups = 0.02, 10_000
    drawn = chance.normal(0, own_error, (20_000, looks)).max(axis=1).mean()
    half = 1.96 * own_error * np.sqrt(2)
    arm = (
        a_verdict(0.85)
        .arms[0]
        .model_copy(
            update={"lag": 0.0, "lag_low": -half, "lag_high": half, "groups": groups, "looks": looks, "gain_low": None}
        )
    )
    assert luck_of_the_best(arm, 0.95) == pytest.approx(drawn, rel=0.05)
