"""The only access to MLflow: the tracking server that MLFLOW_TRACKING_URI names, or a SQLite file in the store."""

from __future__ import annotations

import contextlib
import logging
import os
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from schemas.errors import RegistryUnreachable
from tasks.reuse.store import ArtifactStore

if TYPE_CHECKING:
    from mlflow import MlflowClient

QUIET = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
}
# A server that does not answer within this is called unreachable; MLflow alone would try for many minutes.
PROBE = {
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "5",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1",
    "MLFLOW_HTTP_REQUEST_BACKOFF_FACTOR": "0",
}
# Once it has answered, a stall of this long ends the stage; the user's own settings take precedence.
PATIENCE = {"MLFLOW_HTTP_REQUEST_TIMEOUT": "60", "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2"}
NOISY = ("mlflow", "alembic")


@dataclass(frozen=True)
class Registry:
    """A reachable MLflow: its client, and where a new experiment's artifacts go (None: the server decides)."""

    client: MlflowClient
    uri: str
    artifact_root: str | None

    def experiment(self, name: str) -> str:
        """Return the id of an experiment, made if need be; one that was deleted in the UI is restored."""
        from mlflow.exceptions import MlflowException

        found = self.client.get_experiment_by_name(name)
        if found is None:
            try:
                place = self.artifact_root and f"{self.artifact_root}/{name}"
                return str(self.client.create_experiment(name, artifact_location=place))
            except MlflowException:  # another run made it just now
                found = self.client.get_experiment_by_name(name)
                if found is None:
                    raise
        if found.lifecycle_stage == "deleted":
            self.client.restore_experiment(found.experiment_id)
        return str(found.experiment_id)


def default_uri(store: ArtifactStore) -> str:
    """Return the tracking URI that is used when MLFLOW_TRACKING_URI is not set."""
    return f"sqlite:///{store.root / 'mlflow.db'}"


@contextlib.contextmanager
def open_registry(destination: str, store: ArtifactStore, kept: str) -> Iterator[Registry]:
    """Reach MLflow for a stretch of work, silently.

    Args:
        destination: tracking URI; "" for the SQLite file in the store.
        store: holds that file and its artifacts.
        kept: for the message: what is safe in the store although MLflow is unavailable.

    Raises:
        RegistryUnreachable: MLflow does not answer within some seconds, or refuses a request.
    """
    uri = destination or default_uri(store)
    root = None if destination else store.folder("mlartifacts").as_uri()
    with (
        _environment(PATIENCE | {name: os.environ[name] for name in PATIENCE if name in os.environ} | QUIET),
        _silent(),
    ):
        import mlflow
        from mlflow.exceptions import MlflowException
        from sqlalchemy.exc import SQLAlchemyError

        # MLflow keeps its URI in the environment too; restoring it there leaves the process as it was.
        before = os.environ.get("MLFLOW_TRACKING_URI")
        try:
            # MLflow's own registry code asks the process-wide URI, whatever client it was called through.
            mlflow.set_tracking_uri(uri)
            yield Registry(_probed(uri), uri, root)
        except (MlflowException, SQLAlchemyError, ConnectionError, ModuleNotFoundError) as fault:
            raise RegistryUnreachable(
                f"MLflow at {shown(uri)} failed: {_reason(fault)}. {kept} Fix MLFLOW_TRACKING_URI or start the server, "
                "and run the same command again: only what failed here runs."
            ) from fault
        finally:
            mlflow.set_tracking_uri(None)
            if before is not None:
                os.environ["MLFLOW_TRACKING_URI"] = before


def _probed(uri: str) -> MlflowClient:
    """Return a client that has been answered once."""
    from mlflow import MlflowClient

    try:
        with _environment(PROBE):
            client = MlflowClient(tracking_uri=uri)
            client.search_experiments(max_results=1)
    except OSError as fault:  # such as a SQLite file in a folder that cannot be made
        raise ConnectionError(str(fault)) from fault
    return client


@contextlib.contextmanager
def _environment(settings: dict[str, str]) -> Iterator[None]:
    """Set environment variables for a stretch of work."""
    before = {name: os.environ.get(name) for name in settings}
    os.environ.update(settings)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


@contextlib.contextmanager
def _silent() -> Iterator[None]:
    """Suppress MLflow's log lines and warnings, which would come between this program's own output."""
    import mlflow  # noqa: F401 - it sets its own level when it is loaded

    before = {name: logging.getLogger(name).level for name in NOISY}
    for name in NOISY:
        logging.getLogger(name).setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            # MLflow warns about its own internals (SQLAlchemy's loaders, its type hints), which a user of this program
            # cannot fix.
            warnings.simplefilter("ignore")
            yield
    finally:
        for name, level in before.items():
            logging.getLogger(name).setLevel(level)


def shown(uri: str) -> str:
    """Return a URI with its password, if it has one, masked."""
    scheme, found, rest = uri.partition("://")
    head, at, place = rest.rpartition("@")
    return f"{scheme}{found}{head.split(':')[0]}:***@{place}" if at and ":" in head else uri


def _reason(fault: Any) -> str:
    deepest = fault
    while deepest.__cause__ is not None or deepest.__context__ is not None:
        deepest = deepest.__cause__ or deepest.__context__
    lines = [" ".join(str(one).split()) for one in (fault, deepest)]
    return min((line for line in lines if line), key=len, default=type(fault).__name__)[:300]
