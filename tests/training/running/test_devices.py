"""Two processes train what one trains: the same loss a step, and as little lost when they end."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import psutil
import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.errors import MachineLacks, TrainingStopped
from tasks.training.running.checkpoints import newest_whole
from tasks.training.running.devices import refuse_too_many, spread_environment
from tasks.training.step.packing import share_rows
from tests.training.examples import Heard, fit, sealed_digest, token_rows, write_rows

CONFIGS = Path(__file__).parents[3] / "configs" / "accelerate"


@given(st.integers(1, 40), st.integers(0, 6), st.integers(1, 400), st.integers(2, 5), st.integers(0, 100))
def test_rows_are_dealt_once_and_every_process_makes_as_many_passes(
    count: int, prefix: int, capacity: int, hands: int, seed: int
) -> None:
    rows = token_rows(count, seed)
    dealt = share_rows(rows, prefix, capacity, hands)
    assert len(dealt) == hands and len({len(packs) for packs in dealt}) == 1
    counted = [pack for packs in dealt for pack in packs if pack.weight]
    assert sorted(row for pack in counted for row in pack.row_ids) == [row.row_id for row in rows]
    assert all(len(pack.row_ids) == 1 or pack.input_ids.shape[1] <= capacity for pack in counted)


def entries(folder: Path) -> list[dict[str, Any]]:
    """Return the log of a fit."""
    return [json.loads(line) for line in (folder / "out" / "log.jsonl").read_text().splitlines()]


def losses(folder: Path) -> list[float]:
    """Return every loss of a fit, of steps and of validation."""
    return [entry.get("loss", entry.get("validation_loss")) for entry in entries(folder)]


@pytest.mark.slow
def test_two_processes_have_the_losses_of_one_at_every_step(tiny_model: Path, tmp_path: Path) -> None:
    one = fit(tiny_model, tmp_path / "one", epochs=2)
    heard = Heard()
    two = fit(tiny_model, tmp_path / "two", heard, epochs=2, devices=2)
    assert losses(tmp_path / "two") == pytest.approx(losses(tmp_path / "one"), abs=1e-4)
    assert (two.steps, two.train_tokens, two.parameters) == (one.steps, one.train_tokens, one.parameters)
    assert heard.steps == list(range(1, one.steps + 1))
    assert sealed_digest(tmp_path / "two").keys() == sealed_digest(tmp_path / "one").keys()


class Asking(Heard):
    """Asks for the end by SIGTERM, as an operating system does, when the processes are at a step."""

    def __init__(self, step: int) -> None:
        super().__init__()
        self.step = step

    def advance(self, done: float, total: float, note: str = "") -> None:
        """Ask at the step."""
        super().advance(done, total, note)
        if done == self.step:
            signal.raise_signal(signal.SIGTERM)


@pytest.mark.long
@pytest.mark.slow
def test_processes_that_are_asked_to_stop_save_and_one_process_goes_on_where_they_stood(
    tiny_model: Path, tmp_path: Path
) -> None:
    whole: dict[str, Any] = {"method": "full", "epochs": 2}
    fit(tiny_model, tmp_path / "one", **whole)
    with pytest.raises(TrainingStopped, match=r"training stopped after step \d+ of .* The same command resumes there"):
        fit(tiny_model, tmp_path / "two", Asking(3), **whole, devices=2)
    saved = newest_whole(tmp_path / "two")
    assert saved is not None
    heard = Heard()
    fit(tiny_model, tmp_path / "two", heard, **whole)
    assert heard.steps[0] == int(saved.name[-6:]) + 1
    assert losses(tmp_path / "two") == pytest.approx(losses(tmp_path / "one"), abs=1e-4)


@pytest.mark.long
@pytest.mark.slow
def test_no_process_outlives_a_parent_that_was_killed(tiny_model: Path, tmp_path: Path) -> None:
    script = Path(__file__).parents[1] / "examples.py"
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path), "OMP_NUM_THREADS": "1"}
    command = [
        sys.executable,
        "-W",
        "ignore",
        str(script),
        str(tiny_model),
        str(tmp_path / "two"),
        str(write_rows(tmp_path)),
        "0",
        "1000",
        "2",
    ]
    with subprocess.Popen(
        command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as parent:
        assert any(line.startswith("step 2") for line in parent.stdout or ())
        children = psutil.Process(parent.pid).children(recursive=True)
        assert len(children) >= 2
        parent.kill()
        parent.wait()
        _, alive = psutil.wait_procs(children, timeout=30)
        assert alive == []


@pytest.mark.long
@pytest.mark.slow
def test_what_one_process_refuses_is_raised_with_its_words(tiny_model: Path, tmp_path: Path) -> None:
    with pytest.raises(TrainingStopped, match=r"(loss|gradient) of step \d+ is not a finite number"):
        fit(
            tiny_model,
            tmp_path / "two",
            epochs=20,
            devices=2,
            learning_rate=1.0,
            alpha=1e30,
            method="lora",
            patience=99,
        )


@pytest.mark.parametrize(("name", "kind"), [("fsdp_qlora", "FSDP"), ("zero3", "DEEPSPEED")])
def test_a_shipped_way_to_spread_a_model_is_read_by_accelerate_and_says_that_it_was_not_run(
    name: str, kind: str
) -> None:
    from accelerate.commands.config.config_args import load_config_from_file

    path = CONFIGS / f"{name}.yaml"
    assert load_config_from_file(str(path)).distributed_type.value == kind
    assert "NOT RUN ON REAL CARDS" in path.read_text()
    environment = spread_environment(str(path), 2)
    assert environment[f"ACCELERATE_USE_{kind}"] == "true"
    assert environment["ACCELERATE_MIXED_PRECISION"] == "bf16"


def test_every_shipped_way_is_among_those_above() -> None:
    assert sorted(path.stem for path in CONFIGS.iterdir()) == ["fsdp_qlora", "zero3"]


def test_more_processes_than_cards_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("torch.cuda.device_count", lambda: 2)
    refuse_too_many(2, "cuda")
    refuse_too_many(3, "cpu")
    with pytest.raises(MachineLacks, match=r"training.devices 4: this machine has 2. Allowed here: 1 to 2"):
        refuse_too_many(4, "cuda")
