"""The memory that a fit takes up is estimated from the base's files, and equals what torch then allocates."""

from __future__ import annotations

import os
import random
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.profiler import ProfilerActivity, profile

from schemas.sections.training import TrainingConfig
from tasks.training.adapters.methods import load_model
from tasks.training.rows import TokenRow
from tasks.training.running.memory import Pack, estimate, pack_capacity, trained_parameters
from tasks.training.shape import read_shape
from tasks.training.step.loss import answering, pack_loss
from tasks.training.step.packing import collate
from tests.training.examples import write_rows

ROOT = Path(__file__).parents[3]


@pytest.mark.parametrize(
    ("device", "room", "longest", "step", "capacity"),
    [
        ("cpu", 10**9, 100, 5000, 800),  # more would not be faster
        ("cpu", 10**9, 100, 300, 300),  # no step is longer
        ("cpu", 10**9, 3000, 5000, 3000),  # a row is never cut
        ("cpu", 200_000, 100, 5000, 200),  # no more fits
        ("cpu", 0, 100, 5000, 100),  # one row is tried all the same
        ("cuda", 10**9, 100, 5000, 5000),
    ],
)
def test_the_tightest_limit_sets_the_size_of_a_pack(
    device: str, room: int, longest: int, step: int, capacity: int
) -> None:
    assert pack_capacity(device, 1000, room, longest, step) == capacity


@pytest.fixture(scope="session")
def middling(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A seeded Llama of a middling shape, with weights in fp32."""
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.manual_seed(0)
    sizes = {
        "hidden_size": 192,
        "intermediate_size": 512,
        "num_hidden_layers": 6,
        "num_attention_heads": 6,
        "num_key_value_heads": 2,
        "vocab_size": 2000,
    }
    folder = tmp_path_factory.mktemp("middling")
    LlamaForCausalLM(LlamaConfig(**sizes, tie_word_embeddings=True)).save_pretrained(folder)
    return folder


def allocated(model: Any, rows: list[TokenRow], prefix: int, has_autocast: bool) -> int:
    """Return the most bytes that torch holds at once during one forward and backward pass, beyond what it held
    before.
    """
    pack = collate(rows, prefix)
    with answering(model) as head, profile(activities=[ProfilerActivity.CPU], profile_memory=True) as seen:
        with torch.autocast("cpu", torch.bfloat16, enabled=has_autocast):
            loss = pack_loss(model, head, pack, "cpu")
        loss.backward()
    events = sorted(
        (event.start_ns(), event.nbytes())
        for event in seen.profiler.kineto_results.events()
        if event.name() == "[memory]"
    )
    held = most = 0
    for _, change in events:
        held += change
        most = max(most, held)
    return most


def uneven_rows(tokens: int, longest: int, shared: int = 10) -> list[TokenRow]:
    """Return rows whose last two fifths are answers, of `tokens` tokens together."""
    draw = random.Random(1)
    rows: list[TokenRow] = []
    while sum(row.tokens for row in rows) < tokens:
        length = draw.randint(longest // 2, longest)
        answer = int(length * 0.4)
        prompt = [*range(3, 3 + shared), *(draw.randrange(3, 2000) for _ in range(length - answer - shared))]
        rows.append(TokenRow(len(rows), "g", prompt, [draw.randrange(3, 2000) for _ in range(answer)]))
    return rows


CASES = [
    *((method, "lora", dtype, False) for method in ("lora", "qlora", "full") for dtype in ("fp32", "bf16")),
    ("lora", "dora", "bf16", False), ("lora", "lora", "fp32", True), ("qlora", "lora", "bf16", True),
]  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize(("method", "adapter", "dtype", "is_checkpointed"), CASES)
def test_torch_allocates_what_was_estimated(
    middling: Path, method: str, adapter: str, dtype: str, is_checkpointed: bool
) -> None:
    training = TrainingConfig(method=method, adapter=adapter, rank=8)
    model = load_model(middling, training, {"fp32": torch.float32, "bf16": torch.bfloat16}[dtype], "cpu").train()
    if is_checkpointed:
        model.activation_checkpointing_enable({"use_reentrant": False})
    rows, shape = uneven_rows(900, 120), read_shape(middling)
    pack = Pack(
        collate(rows, 10).input_ids.shape[1],
        sum(len(row.answer_ids) for row in rows),
        sum(row.tokens for row in rows) // len(rows),
    )
    expected = estimate(shape, training, dtype, "cpu", pack, is_checkpointed=is_checkpointed)
    copies = (
        2 * (shape.in_linears + shape.head) if (method, dtype) == ("full", "bf16") else 0
    )  # estimated as weights, made in the pass
    passes = expected.activations + expected.logits + copies
    measured = allocated(model, rows, 10, (method, dtype) == ("full", "bf16"))
    print(
        f"{method} {adapter} {dtype} {is_checkpointed}: estimated {passes / 1e6:.1f} MB, allocated "
        f"{measured / 1e6:.1f} MB"
    )
    assert passes == pytest.approx(measured, rel=0.15)


def test_trained_parameters_are_counted_from_the_headers_alone(middling: Path) -> None:
    shape = read_shape(middling)
    for settings in (
        {"method": "lora"},
        {"method": "lora", "adapter": "dora"},
        {"method": "lora", "targets": ("q_proj", "mlp.up_proj")},
        {"method": "full"},
    ):
        training = TrainingConfig(rank=8, **settings)
        model = load_model(middling, training, torch.float32, "cpu")
        assert trained_parameters(shape, training) == sum(
            parameter.numel() for parameter in model.parameters() if parameter.requires_grad
        )


REAL = """
import json, sys, time
from pathlib import Path
import torch
torch.set_num_threads(1)
from tests.training.examples import INSTRUCTION
from schemas.sections.training import TrainingConfig
from tasks.inference.precision import Precision
from tasks.reuse.memory import hand_back, peak_memory
from tasks.reuse.progress import Reporter
from tasks.reuse.stage import WorkDirectory
from tasks.reuse.store import ArtifactStore
from tasks.training.running import trainer
from tasks.training.adapters.sealing import BaseModel
from tasks.training.fitting import fit_adapter
base, folder, rows, method, dtype = sys.argv[1:]
class PrintingReporter(Reporter):
    def say(self, line):
        if line.startswith("memory:"):
            print("estimate", line.split()[2], flush=True)
step = trainer.PackedTrainer.training_step
def stopping(self, *args, **kwargs):
    if self.state.global_step == 4:
        raise KeyboardInterrupt
    return step(self, *args, **kwargs)
trainer.PackedTrainer.training_step = stopping
(Path(folder) / "out").mkdir(parents=True)
training = TrainingConfig(method=method, learning_rate=1e-4)
precision = Precision("cpu", {"bf16": torch.bfloat16, "fp32": torch.float32}[dtype], "test")
hand_back()
with peak_memory() as peak:
    try:
        workdir = WorkDirectory(Path(folder), ArtifactStore(Path(folder) / "store"), PrintingReporter())
        fit_adapter(training, INSTRUCTION, BaseModel(Path(base), "real", None), Path(rows), 7, workdir, precision)
    except KeyboardInterrupt:
        pass
print("peak", peak.bytes)
"""


@pytest.mark.slow
@pytest.mark.model
@pytest.mark.timeout(280)
@pytest.mark.parametrize(
    ("method", "dtype"), [("qlora", "bf16"), pytest.param("lora", "fp32", marks=pytest.mark.long), ("full", "bf16")]
)
def test_the_peak_of_a_real_fit_is_within_15_percent_of_what_was_estimated(
    smollm2: Path, tmp_path: Path, method: str, dtype: str
) -> None:
    rows = write_rows(tmp_path, 400, 40)
    environment = {
        **os.environ,
        "PYTHONPATH": f"{ROOT}:{ROOT / 'tests' / 'training'}",
        "ONEDNN_PRIMITIVE_CACHE_CAPACITY": "64",
        "OMP_NUM_THREADS": "1",
    }
    command = [sys.executable, "-c", REAL, str(smollm2), str(tmp_path / "workdir"), str(rows), method, dtype]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False, timeout=270)
    assert done.returncode == 0, done.stderr
    said = dict(line.split() for line in done.stdout.splitlines() if line.startswith(("estimate ", "peak ")))
    print(method, dtype, said)
    assert float(said["estimate"]) * 1e9 == pytest.approx(int(said["peak"]), rel=0.15)
