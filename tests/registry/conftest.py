import shutil
from pathlib import Path

import pytest

from tasks.registry.connection import open_registry
from tasks.store import ArtifactStore


@pytest.fixture(scope="session")
def migrated_database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An MLflow database with all its tables: making them takes 6 seconds, copying it takes none."""
    store = ArtifactStore(tmp_path_factory.mktemp("migrated"))
    with open_registry("", store, ""):
        pass
    return store.root / "mlflow.db"


@pytest.fixture
def registry_store(store: ArtifactStore, migrated_database: Path) -> ArtifactStore:
    """This test's store, with an MLflow database in it."""
    store.folder("mlartifacts")
    shutil.copy(migrated_database, store.root / "mlflow.db")
    return store
