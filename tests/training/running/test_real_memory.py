"""The peak of a fit of the real model against what was told before it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
REAL = """
import json, sys, time
from pathlib import Path
import torch
torch.set_num_threads(1)
from tests.training.examples import INSTRUCTION
from schemas.training_config import TrainingConfig
from tasks.inference.precision import Precision
from tasks.reuse.memory import hand_back, peak_memory
from tasks.reuse.progress import Reporter
from tasks.reuse.stage import WorkDirectory
from tasks.reuse.store import ArtifactStore
from tasks.training.running import trainer
from tasks.training.fitting import BaseModel, fit_adapter
base, folder, rows, method, dtype = sys.argv[1:]
class Heard(Reporter):
    def say(self, line):
        if line.startswith("memory:"):
            print("told", line.split()[2], flush=True)
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
        workdir = WorkDirectory(Path(folder), ArtifactStore(Path(folder) / "store"), Heard())
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
def test_the_peak_of_a_real_fit_is_within_15_percent_of_what_was_told(
    smollm2: Path, tmp_path: Path, method: str, dtype: str
) -> None:
    from tests.training.examples import write_rows

    rows = write_rows(tmp_path, 400, 40)
    environment = {
        **os.environ,
        "PYTHONPATH": str(ROOT),
        "ONEDNN_PRIMITIVE_CACHE_CAPACITY": "64",
        "OMP_NUM_THREADS": "1",
    }
    command = [sys.executable, "-c", REAL, str(smollm2), str(tmp_path / "workdir"), str(rows), method, dtype]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False, timeout=270)
    assert done.returncode == 0, done.stderr
    said = dict(line.split() for line in done.stdout.splitlines() if line.startswith(("told ", "peak ")))
    print(method, dtype, said)
    assert float(said["told"]) * 1e9 == pytest.approx(int(said["peak"]), rel=0.15)
