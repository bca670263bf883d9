"""A 4-bit base costs nothing in the end: QLoRA's held-out loss is LoRA's. benchmarks/parity.py measures whole fits over
seeds.
"""

from __future__ import annotations

import json
import random
from pathlib import Path

import pytest
import torch

from flows.inputs.config_file import read_config
from schemas.sections.training import TrainingConfig
from tasks.inference.precision import best_precision
from tasks.reuse.progress import Reporter
from tasks.reuse.stage import WorkDirectory
from tasks.reuse.store import ArtifactStore
from tasks.training.fitting import train
from tasks.training.rows import TokenRow, common_prefix
from tasks.training.running.checkpoints import read_state
from tasks.training.step.packing import Step, TrainingDataset
from tests.made_once import made_once
from tests.real import geoquery
from tests.real.test_real_data import shared

ROOT = Path(__file__).parents[2]
STEPS, ROWS_A_STEP, HELD_OUT = 16, 8, 48


@pytest.fixture(scope="module")
def dataset(smollm2: Path) -> TrainingDataset:
    """GeoQuery's rows, some templates held out, as 16 steps of 8 rows."""
    from transformers import AutoTokenizer

    from tasks.inference.prompts.rendering import render_row

    instruction = read_config(ROOT / "configs" / "geoquery.yaml", []).task.instruction
    tokenizer = AutoTokenizer.from_pretrained(smollm2)
    rows = list(geoquery.rows(shared("geoquery")))
    random.Random(7).shuffle(rows)
    templates = sorted({row["group"] for row in rows})
    held_groups = set(random.Random(8).sample(templates, len(templates) // 5))

    def rendered(chosen: list[dict[str, str]]) -> list[TokenRow]:
        made = [(render_row(tokenizer, instruction, row["prompt"], row["completion"]), row["group"]) for row in chosen]
        return [
            TokenRow(number, group, list(row.prompt_ids), list(row.answer_ids))
            for number, (row, group) in enumerate(made, start=1)
        ]

    learned = rendered([row for row in rows if row["group"] not in held_groups][: STEPS * ROWS_A_STEP])
    held_out = rendered([row for row in rows if row["group"] in held_groups][:HELD_OUT])
    steps = [
        Step(0, tuple(range(start, start + ROWS_A_STEP)), 1.0, start + ROWS_A_STEP == len(learned))
        for start in range(0, len(learned), ROWS_A_STEP)
    ]
    return TrainingDataset(learned, held_out, steps, common_prefix([*learned, *held_out]), patience=9)


def held_out_loss(factory: pytest.TempPathFactory, base: Path, dataset: TrainingDataset, method: str) -> float:
    """Return the loss of held-out rows after a fit, which is made once for all workers."""

    def fit(folder: Path) -> None:
        training = TrainingConfig(method=method, learning_rate=1e-3)
        workdir = WorkDirectory(folder / "work", ArtifactStore(folder / "store"), Reporter())
        workdir.folder.mkdir()
        log = read_state(train(training, base, dataset, 7, workdir, best_precision()))["log_history"]
        loss = next(entry["validation_loss"] for entry in log if "validation_loss" in entry)
        (folder / "loss.json").write_text(json.dumps(loss), encoding="utf-8")

    return float(json.loads((made_once(factory, f"parity-{method}", fit) / "loss.json").read_text(encoding="utf-8")))


@pytest.mark.slow
@pytest.mark.model
@pytest.mark.real
@pytest.mark.timeout(900)
@pytest.mark.parametrize("first", ["lora", "qlora"])  # two workers make one fit each, and wait for the other's
def test_the_held_out_loss_of_qlora_is_at_most_2_percent_above_that_of_lora(
    smollm2: Path, dataset: TrainingDataset, tmp_path_factory: pytest.TempPathFactory, first: str
) -> None:
    order = ("lora", "qlora") if first == "lora" else ("qlora", "lora")
    losses = {method: held_out_loss(tmp_path_factory, smollm2, dataset, method) for method in order}
    print(f"held-out loss: {losses} ({losses['qlora'] / losses['lora'] - 1:+.1%})")
    assert torch.tensor(list(losses.values())).isfinite().all()
    assert losses["lora"] < 0.6  # something was learned: a base that was not tuned stands at about 2
    assert losses["qlora"] <= 1.02 * losses["lora"]
