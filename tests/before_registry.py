"""What stands in the store before the registry's stages, and those stages called on it."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from schemas.artifacts import (
    AdapterArtifact,
    ArmArtifact,
    DataArtifact,
    ModelArtifact,
    RegisteredVersion,
    ReportArtifact,
    TrackedRun,
    VerdictArtifact,
)
from schemas.champion import ComparisonArtifact
from schemas.config import RegistryConfig
from schemas.findings.gate import GateReport
from schemas.reports import ArmReport, ChampionReport, Verdict
from schemas.sections.arms import RetrievalConfig
from schemas.sections.benchmark import Require
from schemas.sections.task import TaskConfig
from tasks.decision.verdict.gate import judge_forgetting
from tasks.registry.task import register_adapter, track_verdict
from tasks.reuse.progress import Reporter, current_reporter
from tasks.reuse.store import ArtifactStore
from tests.decision.measured_benchmark import a_benchmark, a_task

INSTRUCTION = "Answer with one word."
RETRIEVAL = RetrievalConfig(top_k=2, passage_words=20)
MODEL = "tiny-task"
SETTINGS = {
    "arm.tuned": '{"name":"tuned","max_new_tokens":8}',
    "arm.tuned_retrieval": '{"name":"tuned_retrieval","max_new_tokens":8,"top_k":2,"passage_words":20}',
    "split": '{"seed":7,"held_out":0.2,"group":null}',
}
LOG = '{"step": 1, "loss": 2.5}\n{"step": 2, "loss": 1.5}\n{"step": 2, "validation_loss": 1.75}\n'


def sealed_rows(store: ArtifactStore, corpus: dict[str, str] | None = None) -> DataArtifact:
    """Seal five train rows, three held-out rows and documents, if there are any."""
    import polars

    folder, states = (
        store.folder("work", "rows"),
        ["texas", "ohio", "iowa", "utah", "maine", "idaho", "nevada", "kansas"],
    )
    rows = [
        {
            "row_id": place,
            "history": [],
            "prompt": f"which states border {state}?",
            "completion": f"those around {state}",
            "group": state,
        }
        for place, state in enumerate(states)
    ]
    kinds = {"history": polars.List(polars.String)}
    polars.DataFrame(rows[:5], schema_overrides=kinds).write_parquet(folder / "train.parquet")
    polars.DataFrame(rows[5:], schema_overrides=kinds).write_parquet(folder / "held_out.parquet")
    if corpus:
        polars.DataFrame({"document": list(corpus), "text": list(corpus.values())}).write_parquet(
            folder / "corpus.parquet"
        )
    return DataArtifact(
        digest=store.seal("data", folder),
        train_rows=5,
        held_out_rows=3,
        refused_rows=0,
        reasons={},
        documents=len(corpus or {}),
    )


def an_arm(name: str, score: float, gain: float | None = None) -> ArmReport:
    gains = {"gain": gain, "gain_low": gain and gain - 0.01, "gain_high": gain and gain + 0.01}
    rest: dict[str, Any] = {
        "valid_rate": 1.0,
        "stopped_rate": 1.0,
        "prompt_tokens": 40.0,
        "output_tokens": 5.0,
        "standing": "good",
    }
    return ArmReport(arm=name, rows=50, groups=50, score=score, low=score - 0.05, high=score + 0.05, **rest, **gains)


def a_verdict(score: float, name: str = "finetune") -> Verdict:
    flags = {"is_sufficient": False, "is_refused_by_gate": False, "promotes": True, "tuned_arm": "tuned"}
    return Verdict(
        verdict=name,
        arm="tuned",
        headline="Tuning earns its place.",
        recommendation="Put tuned into service.",
        regret=0.0,
        reasons=("It does.",),
        target=0.8,
        worth=0.03,
        confidence=0.95,
        rows=50,
        groups=50,
        arms=(an_arm("prompt", 0.5), an_arm("tuned", score, 0.3)),
        gate=None,
        **flags,
    )


def a_gate(require: Require = "not_lost") -> GateReport:
    """One task of which it is not clear whether more than the margin was lost."""
    task = a_task("inconclusive", "facts", (-0.085, -0.183, 0.012), items=82)
    return judge_forgetting(a_benchmark(task), require)


def a_retrieval_verdict(score: float) -> Verdict:
    verdict = a_verdict(score, "finetune+retrieval")
    arms = (*verdict.arms, an_arm("tuned_retrieval", score + 0.1, 0.4))
    return verdict.model_copy(update={"tuned_arm": "tuned_retrieval", "arm": "tuned_retrieval", "arms": arms})


def a_comparison(outcome: str, version: str = "1") -> ChampionReport:
    numbers = {"score": 0.8, "low": 0.7, "high": 0.9, "lead": 0.3, "lead_low": 0.2, "lead_high": 0.4, "valid_rate": 1.0}
    against = {
        "challenger": "tuned",
        "challenger_score": 0.85,
        "difference": 0.05,
        "difference_low": 0.01,
        "difference_high": 0.09,
    }
    words: dict[str, Any] = {
        "arm": "tuned",
        "standing": "good",
        "untrained": "prompt",
        "outcome": outcome,
        "reasons": ("It stands.", f"tuned is {outcome}."),
    }
    return ChampionReport(
        version=version,
        rows=45,
        groups=45,
        left_out=5,
        prompt_tokens=40.0,
        output_tokens=5.0,
        **numbers,
        **against,
        **words,
    )


@dataclass
class Made:
    """What stands in the store before the registry's stages."""

    store: ArtifactStore
    base: ModelArtifact
    adapter: AdapterArtifact
    data: DataArtifact

    def seal(self, kind: str, **files: str) -> str:
        folder = self.store.folder("work", f"seal-{kind}")
        for name, text in files.items():
            (folder / name.replace("__", ".")).write_text(text)
        return self.store.seal(kind, folder)

    def decided(self, verdict: Verdict) -> tuple[VerdictArtifact, ReportArtifact]:
        text = verdict.model_dump_json()
        facts = verdict.model_dump(include={"verdict", "headline", "is_sufficient", "promotes"})
        made = VerdictArtifact(digest=self.seal("verdict", verdict__json=text), **facts)
        return made, ReportArtifact(
            digest=self.seal("report", verdict__json=text, report__html=f"<p>{verdict.headline}"),
            headline=verdict.headline,
        )

    def track(self, verdict: Verdict, destination: str = "") -> TrackedRun:
        decided, page = self.decided(verdict)
        facts = {
            "rows": 50,
            "score": 0.5,
            "valid_rate": 1,
            "stopped_rate": 1,
            "prompt_tokens": 40,
            "output_tokens": 5,
            "seconds_per_row": 0.2,
        }
        arms = (ArmArtifact(digest="a" * 64, arm="prompt", **facts),)
        return track_verdict("tiny", decided, page, self.data, self.base, arms, self.adapter, None, destination)

    def compared(self, comparison: ChampionReport) -> ComparisonArtifact:
        return ComparisonArtifact(
            digest=self.seal("comparison", champion__json=comparison.model_dump_json()),
            version=comparison.version,
            outcome=comparison.outcome,
        )

    def register(
        self,
        verdict: Verdict,
        adapter: AdapterArtifact | None = None,
        data: DataArtifact | None = None,
        destination: str = "",
        comparison: ChampionReport | None = None,
        why_not: str = "",
        retrieval: RetrievalConfig = RETRIEVAL,
    ) -> RegisteredVersion:
        task, decided, tracked = (
            TaskConfig(instruction=INSTRUCTION),
            self.decided(verdict)[0],
            self.track(verdict, destination),
        )
        config, adapter, data = RegistryConfig(model=MODEL), adapter or self.adapter, data or self.data
        run = (config, task, retrieval, adapter, self.base, data, decided, tracked, destination, 8, "c" * 64, SETTINGS)
        return register_adapter(*run, self.compared(comparison) if comparison else None, why_not)


@contextlib.contextmanager
def listening(lines: list[str]) -> Iterator[None]:
    """Collect what the stages say."""
    reporter = Reporter()
    reporter.say = lines.append  # type: ignore[method-assign]
    token = current_reporter.set(reporter)
    try:
        yield
    finally:
        current_reporter.reset(token)


@contextlib.contextmanager
def serving(database: Path, folder: Path) -> Iterator[str]:
    """A real MLflow server on a copy of the database."""
    folder.mkdir()
    shutil.copy(database, folder / "mlflow.db")
    places = ["--backend-store-uri", f"sqlite:///{folder / 'mlflow.db'}"]
    places += ["--artifacts-destination", str(folder / "artifacts")]
    with answering(["server", "--workers", "1", *places], folder) as uri:
        yield uri


@contextlib.contextmanager
def answering(command: list[str], folder: Path, **environment: str) -> Iterator[str]:
    """A command of MLflow that answers on a port, once it does; its log is in `folder`."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with (folder / "log").open("w") as log:
        server = subprocess.Popen(
            [sys.executable, "-m", "mlflow", *command, "--port", str(port)],
            cwd=folder,
            stdout=log,
            stderr=log,
            start_new_session=True,
            env={**os.environ, "MLFLOW_DISABLE_TELEMETRY": "true", **environment},
        )
    try:
        uri = f"http://127.0.0.1:{port}"
        for _ in range(180):
            assert server.poll() is None, (folder / "log").read_text()
            with contextlib.suppress(OSError), urllib.request.urlopen(f"{uri}/health", timeout=1):
                break
            time.sleep(0.5)
        yield uri
    finally:
        os.killpg(server.pid, signal.SIGTERM)
        server.wait()
