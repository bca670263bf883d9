from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from schemas.artifacts import DataArtifact
from tasks.reuse.store import ArtifactStore
from tests.before_registry import LOG, Made
from tests.random_adapter import sealed_adapter, sealed_base


@pytest.fixture
def registry_store(store: ArtifactStore, migrated_database: Path) -> ArtifactStore:
    """This test's store, with an MLflow database in it."""
    store.folder("mlartifacts")
    shutil.copy(migrated_database, store.root / "mlflow.db")
    return store


@pytest.fixture
def made(registry_store: ArtifactStore, tiny_model: Path, tmp_path: Path) -> Made:
    base = sealed_base(registry_store, tiny_model)
    adapter = sealed_adapter(registry_store, base, tmp_path / "adapter", log=LOG)
    data = DataArtifact(digest="d" * 64, train_rows=200, held_out_rows=50, refused_rows=0, reasons={}, documents=0)
    return Made(registry_store, base, adapter, data)
