"""What a fit takes is known before it starts: counted from the base's files, and equal to what torch then asks for."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.profiler import ProfilerActivity, profile

from schemas.errors import MachineLacks
from schemas.training_config import TrainingConfig
from tasks.reuse.progress import Reporter
from tasks.reuse.stage import WorkDirectory
from tasks.reuse.store import ArtifactStore
from tasks.training.adapters.methods import load_model
from tasks.training.rows import TokenRow
from tasks.training.running import decisions as deciding
from tasks.training.running.machine_notes import known_floor, known_limit, note_limit, size_key
from tasks.training.running.memory import Pack, estimate, pack_capacity, trained_parameters
from tasks.training.running.shape import read_shape
from tasks.training.running.trainer import PackedTrainer
from tasks.training.step.loss import answering, pack_loss
from tasks.training.step.packing import collate
from tests.training.examples import Heard, fit

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


def asked_for(model: Any, rows: list[TokenRow], prefix: int, has_autocast: bool) -> int:
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


@pytest.mark.parametrize(("method", "adapter", "dtype", "is_checkpointed"), CASES)
def test_torch_asks_for_what_was_counted(
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
    )  # counted as weights, made in the pass
    passes = expected.activations + expected.logits + copies
    measured = asked_for(model, rows, 10, (method, dtype) == ("full", "bf16"))
    print(
        f"{method} {adapter} {dtype} {is_checkpointed}: counted {passes / 1e6:.1f} MB, asked for "
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


def lines_of(base: Path, folder: Path, **settings: Any) -> list[str]:
    """Fit for a moment and return what was said."""
    heard = Heard()
    fit(base, folder, heard, epochs=0.3, **settings)
    return heard.lines


def test_the_decisions_tell_memory_by_its_parts_and_the_probe(tiny_model: Path, tmp_path: Path) -> None:
    lines = lines_of(tiny_model, tmp_path / "workdir")
    assert any("GB at the peak" in line and "takes up" in line and "weights" in line for line in lines)
    assert any(line.startswith("probe: the largest pack (") for line in lines)
    assert (known_floor(ArtifactStore(tmp_path / "store")) or 0) > 50e6


def test_checkpointing_is_on_by_itself_only_where_the_longest_row_would_not_fit(
    tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert any(
        line.startswith("checkpointing: off: the longest row needs")
        for line in lines_of(tiny_model, tmp_path / "roomy")
    )
    monkeypatch.setattr(deciding, "room_for_packs", lambda held, device: 100_000)
    assert any(
        line.startswith("checkpointing: on: the longest row needs") for line in lines_of(tiny_model, tmp_path / "tight")
    )
    assert json.loads((tmp_path / "tight" / "decisions.json").read_text())["checkpointing"] is True
    assert any(
        line == "checkpointing: never, as configured"
        for line in lines_of(tiny_model, tmp_path / "told", gradient_checkpointing="never")
    )


@pytest.mark.parametrize(
    "settings",
    [{"method": "lora", "dropout": 0.1}, {"method": "qlora"}, {"method": "full"}],
    ids=["lora", "qlora", "full"],
)
def test_checkpointing_changes_no_bit(tiny_model: Path, tmp_path: Path, settings: dict[str, Any]) -> None:
    logs = []
    for choice in ("never", "always"):
        fit(tiny_model, tmp_path / choice, epochs=1, gradient_checkpointing=choice, **settings)
        logs.append((tmp_path / choice / "out" / "log.jsonl").read_text())
    assert logs[0] == logs[1]


def test_a_probe_that_runs_out_of_memory_halves_the_packs_before_the_first_step_and_later_fits_start_there(
    tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from tasks.training.running import memory_probe

    compute, tried = memory_probe.pack_loss, []

    def short(model: Any, head: Any, pack: Any, device: Any) -> torch.Tensor:
        tried.append(pack.input_ids.shape[1])
        if len(tried) == 1:
            raise MemoryError
        return compute(model, head, pack, device)

    monkeypatch.setattr(memory_probe, "pack_loss", short)
    lines = lines_of(tiny_model, tmp_path / "workdir")
    capacity = json.loads((tmp_path / "workdir" / "decisions.json").read_text())["capacity"]
    assert capacity == tried[0] // 2
    assert any(f"probe: out of memory with a pack of {tried[0]} tokens; trying {capacity}" in line for line in lines)
    again = lines_of(tiny_model, tmp_path / "again")
    assert json.loads((tmp_path / "again" / "decisions.json").read_text())["capacity"] == capacity
    assert any("larger packs ran out of memory here before" in line for line in again)


def test_memory_that_runs_out_in_a_step_is_remembered_for_this_method_and_no_other(
    tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    compute, sizes = PackedTrainer.pack_loss, []

    def short(self: PackedTrainer, model: Any, pack: Any) -> torch.Tensor:
        sizes.append(pack.input_ids.shape[1])
        if len(sizes) == 2:
            raise MemoryError
        return compute(self, model, pack)

    monkeypatch.setattr(PackedTrainer, "pack_loss", short)
    fit(tiny_model, tmp_path / "workdir", epochs=1)
    capacity = json.loads((tmp_path / "workdir" / "decisions.json").read_text())["capacity"]
    fit(tiny_model, tmp_path / "same", epochs=0.3)
    fit(tiny_model, tmp_path / "other", epochs=0.3, method="qlora")
    kept, other = (
        json.loads((tmp_path / name / "decisions.json").read_text())["capacity"] for name in ("same", "other")
    )
    assert kept == capacity < other


def test_what_is_remembered_is_no_part_of_a_broken_file(tmp_path: Path) -> None:
    store, training = ArtifactStore(tmp_path), TrainingConfig()
    key = size_key(Path("/store/artifacts/0123456789abcdef0123"), training, 200, "cpu")
    note_limit(store, key, 300)
    assert known_limit(store, key) == 300
    assert known_limit(store, size_key(Path("/store/artifacts/0123456789abcdef0123"), training, 201, "cpu")) is None
    (tmp_path / "machine" / "training.json").write_text("{")
    assert known_limit(store, key) is None


@pytest.mark.parametrize("optimizer", ["adamw_8bit", "paged_adamw", "paged_adamw_8bit"])
def test_an_optimiser_of_the_card_is_refused_without_one(tiny_model: Path, tmp_path: Path, optimizer: str) -> None:
    with pytest.raises(
        MachineLacks,
        match=rf'training.optimizer "{optimizer}" needs a CUDA card, and this machine trains on its cpu. Set "adamw"',
    ):
        fit(tiny_model, tmp_path / "workdir", optimizer=optimizer)
    assert not (tmp_path / "workdir" / "checkpoints").exists()


def test_full_training_in_bf16_learns_and_is_sealed(tiny_model: Path, tmp_path: Path) -> None:
    from tasks.inference.precision import Precision
    from tasks.training.fitting import BaseModel, fit_adapter
    from tests.training.examples import INSTRUCTION, write_rows

    (tmp_path / "workdir" / "out").mkdir(parents=True)
    training = TrainingConfig(method="full", learning_rate=1e-3, epochs=2, tokens_per_step=400, validation=0.2)
    workdir = WorkDirectory(tmp_path / "workdir", ArtifactStore(tmp_path / "store"), Reporter())
    fit_adapter(
        training,
        INSTRUCTION,
        BaseModel(tiny_model, "tiny", None),
        write_rows(tmp_path),
        7,
        workdir,
        Precision("cpu", torch.bfloat16, "test"),
    )
    log = [json.loads(line) for line in (tmp_path / "workdir" / "out" / "log.jsonl").read_text().splitlines()]
    losses = [entry["loss"] for entry in log if "loss" in entry]
    assert losses[-1] < 0.8 * losses[0]
