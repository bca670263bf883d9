"""Rows and fits for the training tests; run as a script, one whole fit in a process of its own."""

from __future__ import annotations

import hashlib
import random
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from schemas.errors import TrainingStopped
from schemas.sections.training import TrainingConfig
from tasks.reuse.progress import Reporter
from tasks.reuse.stage import WorkDirectory
from tasks.reuse.store import ArtifactStore
from tasks.training.rows import TokenRow

INSTRUCTION = "Translate the question to one query."
STATES = ["texas", "ohio", "new mexico", "utah", "maine", "iowa", "south dakota", "nevada"]


class RecordingReporter(Reporter):
    """Records the lines and the steps that a fit reports."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.steps: list[float] = []

    def say(self, line: str) -> None:
        """Record a line."""
        self.lines.append(line)

    def advance(self, done: float, total: float, note: str = "") -> None:
        """Record a step."""
        self.steps.append(done)


def token_rows(count: int = 9, seed: int = 1, shared: int = 6) -> list[TokenRow]:
    """Return rows of different lengths in a vocabulary of 384, whose prompts begin with the same tokens."""
    draw = random.Random(seed)
    prefix = [draw.randrange(3, 384) for _ in range(shared)]

    def tokens(low: int, high: int) -> list[int]:
        return [draw.randrange(3, 384) for _ in range(draw.randint(low, high))]

    return [
        TokenRow(number, f"g{number}", [*prefix, 3 + number, *tokens(1, 12)], [*tokens(0, 20), 2])
        for number in range(1, count + 1)
    ]


def write_rows(folder: Path, count: int = 24, groups: int = 8) -> Path:
    """Write a train.parquet of questions and queries."""
    import polars as pl

    draw = random.Random(5)
    names = [" and ".join(draw.choices(STATES, k=draw.randint(1, 4))) for _ in range(count)]
    rows = [
        {
            "row_id": number,
            "history": ["which states?", "all of them."] * (number % 3 == 0),
            "prompt": f"which states border {name}?",
            "completion": f"SELECT border FROM border_info WHERE state_name = '{name}';",
            "group": f"g{number % groups}",
        }
        for number, name in enumerate(names, start=1)
    ]
    pl.DataFrame(rows).write_parquet(folder / "train.parquet")
    return folder / "train.parquet"


def fit(
    base: Path,
    folder: Path,
    reporter: Reporter | None = None,
    rows: Path | None = None,
    dtype: Any = None,
    texts: Path | None = None,
    **settings: Any,
) -> Any:
    """Fit in `folder`, in fp32 unless `dtype` says otherwise, and return the result; sealed files are in folder/out."""
    import torch

    from tasks.inference.precision import Precision
    from tasks.training.adapters.sealing import BaseModel
    from tasks.training.fitting import fit_adapter

    (folder / "out").mkdir(parents=True, exist_ok=True)
    usual = {"method": "lora", "rank": 4, "learning_rate": 5e-3, "epochs": 3, "tokens_per_step": 400, "validation": 0.2}
    training = TrainingConfig(**(usual | settings))
    workdir = WorkDirectory(folder, ArtifactStore(folder.parent / "store"), reporter or Reporter())
    precision = Precision("cpu", dtype or torch.float32, "test")
    origin = BaseModel(base, "tiny", "r1")
    return fit_adapter(
        training, INSTRUCTION, origin, rows or write_rows(folder.parent), 7, workdir, precision, replay=texts
    )


def sealed_digest(folder: Path) -> dict[str, str]:
    """Return the sha256 of each sealed file."""
    out = folder / "out"
    return {
        str(path.relative_to(out)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(out.rglob("*"))
        if path.is_file()
    }


def padded(model: Any, rows: list[TokenRow]) -> Any:
    """Return the loss the usual way: rows padded, all logits, the library's own attention and cross entropy."""
    import torch

    longest = max(row.tokens for row in rows)
    ids = torch.tensor([row.prompt_ids + row.answer_ids + [0] * (longest - row.tokens) for row in rows])
    mask = torch.tensor([[1] * row.tokens + [0] * (longest - row.tokens) for row in rows])
    labels = torch.tensor(
        [[-100] * len(row.prompt_ids) + row.answer_ids + [-100] * (longest - row.tokens) for row in rows]
    )
    with plainly(model):
        logits = model(input_ids=ids, attention_mask=mask, use_cache=False).logits
    return torch.nn.functional.cross_entropy(logits[:, :-1].flatten(0, 1), labels[:, 1:].flatten(), reduction="sum")


@contextmanager
def plainly(model: Any) -> Iterator[None]:
    """Run with the library's attention and norms and peft's own adapters."""
    ours_alone = [
        module for module in model.modules() if hasattr(module, "lora_A") or type(module).__name__.endswith("RMSNorm")
    ]
    joined = {module: module.__dict__.pop("forward") for module in ours_alone if "forward" in module.__dict__}
    config = model.config
    config._attn_implementation, ours = "sdpa", config._attn_implementation
    try:
        yield
    finally:
        config._attn_implementation = ours
        for module, forward in joined.items():
            module.forward = forward


class PrintingReporter(Reporter):
    """Prints lines and steps, so that another process can wait for them."""

    def say(self, line: str) -> None:
        """Print a line."""
        print(line, flush=True)

    def advance(self, done: float, total: float, note: str = "") -> None:
        """Print the step."""
        print(f"step {done:g}", flush=True)


def main(base: str, folder: str, rows: str, dropout: str, minutes: str, devices: str = "1") -> int:
    """Fit once and return the exit code that the command line would."""
    import torch

    torch.set_num_threads(1)
    try:
        settings = {"checkpoint_minutes": float(minutes), "dropout": float(dropout), "devices": int(devices)}
        fit(Path(base), Path(folder), PrintingReporter(), Path(rows), epochs=10, patience=99, **settings)
    except TrainingStopped as stopped:
        print(stopped)
        return stopped.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
