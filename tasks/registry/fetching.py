"""What is served of a registered adapter: from the store or, if that lost it, from MLflow, with one digest."""

from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path

from schemas.champion import Champion
from tasks.inference.prompts.encoding import INDEX
from tasks.inference.prompts.golden import GOLDEN, copy_golden
from tasks.inference.prompts.retrieval_file import FILE, serialised
from tasks.inference.prompts.retrieval_index import retrieved_from
from tasks.registry.champion import files_there
from tasks.registry.connection import open_registry
from tasks.reuse.keys import digest_of
from tasks.reuse.store import MANIFEST, ArtifactStore, sha256_of

KIND = "champion"  # ChampionArtifact.kind, which enters its digest


def served_digest(adapter: Path, carried: bytes = b"") -> str:
    """Return the digest of an opened adapter's best/ and golden.json, sealed with what it retrieves from, if any."""
    files = json.loads((adapter / MANIFEST).read_text(encoding="utf-8"))["files"]
    kept = {name: mark for name, mark in files.items() if name == GOLDEN or name.startswith("best/")}
    retrieved = {FILE: (hashlib.sha256(carried).hexdigest(), len(carried))} if carried else {}
    return digest_of({"kind": KIND, "files": kept | retrieved})


def copy_served(champion: Champion, store: ArtifactStore, out: Path) -> bool:
    """Copy what is served of a champion from the store; return whether it was registered so, else leave nothing."""
    adapter = store.open(champion.adapter_digest)
    shutil.copytree(adapter / "best", out / "best")
    copy_golden(adapter, out)
    asks = json.loads(champion.arm_settings or "{}")
    if champion.carried_digest:
        how = asks.get("language") or "en", asks.get("search", "bm25")
        searched = asks["top_k"], asks.get("passage_words"), *how
        (out / FILE).write_bytes(serialised(retrieved_from(store.open(champion.data_digest), *searched)))
    if champion.served_digest in ("", _digest(out)):
        if champion.carried_digest and asks.get("search", "bm25") != "bm25":  # in the store only, and in no version
            shutil.copytree(store.open(champion.data_digest) / INDEX, out / INDEX)
        return True
    _clear(out)
    return False


def version_digest(adapter: Path) -> str:
    """Return the same digest from a version's adapter folder, which has the files of best/ beside the others."""
    names = {path: path.name if path.name in (GOLDEN, FILE) else f"best/{path.relative_to(adapter)}"
             for path in adapter.rglob("*") if path.is_file()}  # fmt: skip
    return _digest_of_files({name: path for path, name in names.items()})


def _digest(out: Path) -> str:
    return _digest_of_files({str(path.relative_to(out)): path for path in out.rglob("*") if path.is_file()})


def _digest_of_files(files: dict[str, Path]) -> str:
    marks = {name: (sha256_of(path), path.stat().st_size) for name, path in sorted(files.items())}
    return digest_of({"kind": KIND, "files": marks})


def _clear(out: Path) -> None:
    shutil.rmtree(out)
    out.mkdir()


def download_served(champion: Champion, scratch: Path, out: Path) -> str:
    """Download what is served of a version from an open MLflow into `out`, and return what is wrong with it, or "".

    A version registered before digests were recorded is not checked; callers that measure it ask for the digest first.

    Raises:
        ConnectionError: the files exist but could not be downloaded: another try may help, so this is not sealed.
    """
    from mlflow.artifacts import download_artifacts
    from mlflow.exceptions import MlflowException

    who = f"the files of version {champion.version} of {champion.model}"
    shutil.rmtree(scratch, ignore_errors=True)
    try:
        place = f"models:/{champion.model}/{champion.version}/adapter"
        found = Path(download_artifacts(artifact_uri=place, dst_path=str(scratch)))
    except (MlflowException, OSError) as fault:
        if files_there(champion):
            raise ConnectionError(f"{who} could not be downloaded ({fault})") from fault
        return f"MLflow does not have {who} ({type(fault).__name__})"
    if not (found / GOLDEN).exists():
        return f"{who} in MLflow are incomplete"
    shutil.copytree(found, out / "best", ignore=lambda folder, names: {GOLDEN, FILE} & set(names))
    for name in (GOLDEN, FILE):
        if (found / name).exists():
            shutil.copyfile(found / name, out / name)
    digest = _digest(out)
    if champion.served_digest in ("", digest):
        return ""
    _clear(out)
    differ = f"they have digest {digest[:12]}, not {champion.served_digest[:12]}"
    return f"{who} in MLflow are not the ones that were registered: {differ}"


def fetch_served(destination: str, champion: Champion, store: ArtifactStore, scratch: Path, out: Path) -> str:
    """Fetch what is served of a champion that the store has lost, and return why that is unavailable, or "".

    Raises:
        RegistryUnreachable: MLflow does not answer.
    """
    lost = f"its adapter {champion.adapter_digest[:12]}, or what it retrieves from, is no longer in {store.address}"
    if not champion.served_digest:
        return f"{lost}, and its version has no digest to check MLflow's copy against"
    with open_registry(destination, store, "Nothing was changed."):
        problem = download_served(champion, scratch, out)
    return f"{lost}, and {problem}" if problem else ""
