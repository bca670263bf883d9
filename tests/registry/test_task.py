from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from random_adapter import sealed_adapter, sealed_base

from schemas.artifacts import AdapterArtifact, ArmArtifact, DataArtifact, ModelArtifact, RegisteredVersion, ReportArtifact, TrackedRun, VerdictArtifact
from schemas.config import RegistryConfig, TaskConfig
from schemas.errors import RegistryUnreachable
from schemas.reports import ArmReport, Verdict
from tasks.registry.connection import default_uri, open_registry
from tasks.registry.task import register_adapter, track_verdict
from tasks.store import ArtifactStore

INSTRUCTION = "Answer with one word."
MODEL = "tiny-task"
LOG = '{"step": 1, "loss": 2.5}\n{"step": 2, "loss": 1.5}\n{"step": 2, "validation_loss": 1.75}\n'


def an_arm(name: str, score: float, gain: float | None = None) -> ArmReport:
    gains = {"gain": gain, "gain_low": gain and gain - 0.01, "gain_high": gain and gain + 0.01}
    rest: dict[str, Any] = {"valid_rate": 1.0, "stopped_rate": 1.0, "prompt_tokens": 40.0, "output_tokens": 5.0, "standing": "good"}
    return ArmReport(arm=name, rows=50, score=score, low=score - 0.05, high=score + 0.05, **rest, **gains)


def a_verdict(score: float, name: str = "finetune") -> Verdict:
    flags = {"is_sufficient": False, "is_refused_by_gate": False, "promotes": True, "tuned_arm": "tuned"}
    return Verdict(
        verdict=name, headline="Tuning earns its place.", reasons=("It does.",), target=0.8, worth=0.03, confidence=0.95, rows=50,
        arms=(an_arm("prompt", 0.5), an_arm("tuned", score, 0.3)), gate=None, **flags,
    )  # fmt: skip


@dataclass
class Made:
    """What stands in the store before the registry's stages."""

    store: ArtifactStore
    base: ModelArtifact
    adapter: AdapterArtifact
    data: DataArtifact

    def seal(self, kind: str, **files: str) -> str:
        folder = self.store.folder("benches", f"seal-{kind}")
        for name, text in files.items():
            (folder / name.replace("__", ".")).write_text(text)
        return self.store.seal(kind, folder)

    def decided(self, verdict: Verdict) -> tuple[VerdictArtifact, ReportArtifact]:
        text = verdict.model_dump_json()
        facts = verdict.model_dump(include={"verdict", "headline", "is_sufficient", "promotes"})
        made = VerdictArtifact(digest=self.seal("verdict", verdict__json=text), **facts)
        return made, ReportArtifact(digest=self.seal("report", verdict__json=text, report__html=f"<p>{verdict.headline}"), headline=verdict.headline)

    def track(self, verdict: Verdict, destination: str = "") -> TrackedRun:
        decided, page = self.decided(verdict)
        facts = {"rows": 50, "score": 0.5, "valid_rate": 1, "stopped_rate": 1, "prompt_tokens": 40, "output_tokens": 5, "seconds_per_row": 0.2}
        arms = (ArmArtifact(digest="a" * 64, arm="prompt", **facts),)
        return track_verdict("tiny", decided, page, self.data, self.base, arms, self.adapter, None, destination)

    def register(self, verdict: Verdict, adapter: AdapterArtifact | None = None, data: DataArtifact | None = None) -> RegisteredVersion:
        task, decided, tracked = TaskConfig(instruction=INSTRUCTION), self.decided(verdict)[0], self.track(verdict)
        config, adapter, data = RegistryConfig(model=MODEL), adapter or self.adapter, data or self.data
        return register_adapter(config, task, adapter, self.base, data, decided, tracked, "", 8, "c" * 64)


@pytest.fixture
def made(registry_store: ArtifactStore, tiny_model: Path, tmp_path: Path) -> Made:
    base = sealed_base(registry_store, tiny_model)
    adapter = sealed_adapter(registry_store, base, tmp_path / "adapter", log=LOG)
    data = DataArtifact(digest="d" * 64, train_rows=200, held_out_rows=50, refused_rows=0, reasons={}, documents=0)
    return Made(registry_store, base, adapter, data)


def test_a_verdict_becomes_one_run_with_its_numbers_digests_curve_and_report(made: Made) -> None:
    tracked = made.track(a_verdict(0.85))
    with open_registry("", made.store, "") as registry:
        run = registry.client.get_run(tracked.run_id)
        curve = [(metric.step, metric.value) for metric in registry.client.get_metric_history(tracked.run_id, "train/loss")]
        files = {file.path for file in registry.client.list_artifacts(tracked.run_id)}
    assert run.data.metrics["arm/tuned/gain"] == 0.3
    assert run.data.metrics["train/validation_loss"] == 1.75
    assert run.data.tags["adapter_digest"] == made.adapter.digest
    assert run.data.tags["arm.prompt_digest"] == "a" * 64
    assert curve == [(1, 2.5), (2, 1.5)]
    assert files == {"report.html", "verdict.json"}


def test_a_registered_version_loads_with_one_line_in_a_process_without_this_project_and_answers_as_the_tuned_arm(made: Made, tmp_path: Path) -> None:
    from tasks.inference.decoding import generate
    from tasks.inference.loading import AdapterFolder, load_model
    from tasks.inference.rendering import render_prompt, row_messages

    assert made.register(a_verdict(0.85)).alias == "champion"
    loaded = load_model(made.store.open(made.base.digest), adapter=AdapterFolder(made.store.open(made.adapter.digest) / "best", "lora"))
    prompts = [render_prompt(loaded.tokenizer, row_messages(INSTRUCTION, request)) for request in ("hi", "and you?")]
    answers = f"mlflow.pyfunc.load_model('models:/{MODEL}@champion').predict(['hi', 'and you?'])"
    line = f"import json, mlflow, sys; print(json.dumps({answers})); assert 'tasks' not in sys.modules"
    environment = {**os.environ, "MLFLOW_TRACKING_URI": default_uri(made.store), "TUNEWORTHY_STORE": str(made.store.root), "PYTHONPATH": ""}
    done = subprocess.run([sys.executable, "-c", line], cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout.splitlines()[-1]) == [answer.text for answer in generate(loaded, prompts, 8)]


def test_an_unreachable_server_is_told_within_seconds_with_the_adapters_place(made: Made) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        uri = f"http://127.0.0.1:{free.getsockname()[1]}"
    started = time.monotonic()
    with pytest.raises(RegistryUnreachable, match=uri) as refusal:
        made.track(a_verdict(0.85), destination=uri)
    assert time.monotonic() - started < 15
    assert "run the same command again" in str(refusal.value)
