"""The benchmark compares like with like: this engine and the usual trainer see the same rows and have the same
losses.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SCRIPT, TICKETS = ROOT / "benchmarks" / "training.py", ROOT / "configs" / "demo" / "tickets.jsonl"


@pytest.mark.slow
def test_the_engine_and_the_padded_trainer_have_equal_losses_at_equal_steps(tiny_model: Path) -> None:
    command = [
        sys.executable,
        "-W",
        "ignore",
        str(SCRIPT),
        str(TICKETS),
        "--base",
        str(tiny_model),
        "--steps",
        "3",
        "--rounds",
        "1",
        "--rank",
        "4",
    ]
    chosen = ["--rows-per-step", "2", "--held-out", "2", "--only", "engine/lora/fp32", "plain/lora/fp32"]
    done = subprocess.run(
        [*command, *chosen], capture_output=True, text=True, env=os.environ | {"OMP_NUM_THREADS": "1"}, check=False
    )
    assert done.returncode == 0, done.stderr
    engine, plain = (line.split() for line in done.stdout.splitlines()[-3:-1])
    assert (engine[0], plain[0]) == ("engine/lora/fp32", "plain/lora/fp32")
    assert float(engine[1]) > 0
    first, last, held_out = (float(loss) for loss in engine[2:5])
    assert [first, last, held_out] == pytest.approx([float(loss) for loss in plain[2:5]], abs=1e-3)
    assert first != last
    apart = re.search(r"engine/lora/fp32 and plain/lora/fp32 are at most (\S+) apart", done.stdout)
    assert apart and float(apart[1]) < 1e-3
