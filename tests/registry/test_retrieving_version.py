"""A version whose arm won with retrieval answers as that arm did, from what it carries."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import polars
import pytest
import yaml

from schemas.artifacts import DataArtifact
from schemas.errors import ArtifactBroken, ConfigRefused, ModelMissing
from schemas.sections.arms import ArmsConfig, RetrievalConfig
from schemas.sections.task import TaskConfig
from tasks.base.sources import locate_encoder
from tasks.data.task import index_texts
from tasks.inference.prompts import retrieval_file
from tasks.inference.prompts.prompt_builder import Request
from tasks.registry.connection import default_uri, open_registry
from tasks.registry.version.packaging import requirements
from tasks.registry.version.served import AdaptedModel
from tasks.registry.version.served_facts import ServedFacts
from tasks.reuse.progress import Reporter
from tests.before_registry import (
    INSTRUCTION,
    MODEL,
    RETRIEVAL,
    Made,
    a_retrieval_verdict,
    a_verdict,
    listening,
    sealed_rows,
)
from tests.inference.prompts.encoders import static_encoder

CORPUS = {
    "texas.md": "the state of texas. which states border it? one with nevada.",
    "idaho.md": "idaho and utah are states; the cat sat.",
    "nevada.md": "nevada has no printer on floor 3.",
    "kansas.md": "what is the capital of kansas? topeka.",
}


@pytest.fixture
def documents(made: Made) -> DataArtifact:
    return sealed_rows(made.store, CORPUS)


def measured(
    made: Made, data: DataArtifact, arm: str, dtype: str, out: Path, monkeypatch: pytest.MonkeyPatch
) -> list[str]:
    """Return what the arm answers to the held-out rows when its machine multiplies fastest in this number format."""
    import torch

    from tasks.arms.scoring import measure_arm
    from tasks.arms.settings import arm_settings
    from tasks.inference import loading
    from tasks.inference.precision import Precision

    monkeypatch.setattr(loading, "best_precision", lambda: Precision("cpu", getattr(torch, dtype), "so"))
    loading.load_model.cache_clear()
    base, rows, fitted = (made.store.open(artifact.digest) for artifact in (made.base, data, made.adapter))
    adapter = loading.AdapterFolder(fitted / "best", "lora")
    settings = arm_settings(arm, ArmsConfig(retrieval=RETRIEVAL, max_new_tokens=8), data.documents > 0)
    out.mkdir()
    measure_arm(settings, TaskConfig(instruction=INSTRUCTION), base, rows, adapter, 7, out, Reporter())
    loading.load_model.cache_clear()
    return polars.read_parquet(out / "answers.parquet").sort("row_id")["output"].to_list()


def base_alone(made: Made, folder: Path) -> Path:
    """Return a store that holds the base model and nothing else."""
    shutil.copytree(made.store.root / "artifacts" / made.base.digest, folder / "artifacts" / made.base.digest)
    return folder


@pytest.mark.slow
@pytest.mark.parametrize("corpus", [CORPUS, None], ids=["passages", "train rows"])
def test_a_version_answers_held_out_rows_as_the_measured_arm_did_with_only_what_it_carries(
    corpus: dict[str, str] | None, made: Made, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = sealed_rows(made.store, corpus)
    made.register(a_retrieval_verdict(0.85), data=data)
    requests = polars.read_parquet(made.store.open(data.digest) / "held_out.parquet").sort("row_id")["prompt"].to_list()
    line = (
        f"import json, mlflow, sys; model = mlflow.pyfunc.load_model('models:/{MODEL}@champion'); "
        f"print(json.dumps(model.predict({requests!r})))"
    )
    places = {
        "MLFLOW_TRACKING_URI": default_uri(made.store),
        "TUNEWORTHY_STORE": str(base_alone(made, tmp_path / "other")),
        "PYTHONPATH": "",
    }
    command = [sys.executable, "-c", f"{line}; assert 'tasks' not in sys.modules"]
    done = subprocess.run(
        command, cwd=tmp_path, env={**os.environ, **places}, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    # A process picks the number format that is quicker on its machine, so each of the two may have been taken.
    arms = {
        (arm, dtype): measured(made, data, arm, dtype, tmp_path / f"{arm}-{dtype}", monkeypatch)
        for arm in ("tuned", "tuned_retrieval")
        for dtype in ("float32", "bfloat16")
    }
    answers = json.loads(done.stdout.splitlines()[-1])
    assert answers in [arms["tuned_retrieval", dtype] for dtype in ("float32", "bfloat16")]
    assert answers not in [arms["tuned", dtype] for dtype in ("float32", "bfloat16")]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("corpus", "carries", "held"),
    [(CORPUS, "4 passages", "one with nevada"), (None, "5 train rows", "those around texas")],
    ids=["passages", "train rows"],
)
def test_a_version_says_what_it_carries_and_who_can_read_it(
    corpus: dict[str, str] | None, carries: str, held: str, made: Made
) -> None:
    lines: list[str] = []
    with listening(lines):
        made.register(a_retrieval_verdict(0.85), data=sealed_rows(made.store, corpus))
    with open_registry("", made.store, "") as registry:
        version = registry.client.get_model_version_by_alias(MODEL, "champion")
    note = (
        f"it carries {carries} (0.00 MB) and shows the 2 nearest with each request. Everybody who can read this "
        "version can read them: check their licence"
    )
    assert note in version.description and note in lines[-1]
    assert (version.tags["arm"], version.tags["score"], version.tags["carries"]) == (
        "tuned_retrieval",
        "0.950000",
        f"{carries} (0.00 MB)",
    )
    (file,) = (made.store.root / "mlartifacts").rglob(retrieval_file.FILE)
    assert held in file.read_text() and "row_id" not in file.read_text()


@pytest.mark.slow
def test_a_version_searches_by_meaning_with_the_index_that_it_was_measured_with(
    made: Made, documents: DataArtifact, tmp_path: Path
) -> None:
    folder = static_encoder(tmp_path / "encoder")
    searched = index_texts(20, locate_encoder(str(folder), tmp_path, made.store), documents)
    fused = RetrievalConfig(top_k=2, passage_words=20, search="fused", encoder=str(folder))
    ways = ({"data": documents}, {"data": searched, "retrieval": fused}, {"data": searched, "retrieval": fused})
    assert [made.register(a_retrieval_verdict(0.85), **way).version for way in ways] == ["1", "2", "2"]
    *_, facts = sorted((made.store.root / "mlartifacts").rglob("MLmodel"), key=lambda path: path.stat().st_mtime)
    settings = yaml.safe_load(facts.read_text())["flavors"]["python_function"]["config"]
    model = AdaptedModel(facts.parent / "adapter", ServedFacts(**settings))
    shown = model.prompts.build(Request("automobile"))[-1]["content"]
    assert "printer" in shown, "the encoder takes the one for the other"
    shutil.rmtree(made.store.root / "artifacts" / searched.digest)
    with pytest.raises(ModelMissing, match=r"searches an index with digest .* index_texts makes the index"):
        AdaptedModel(facts.parent / "adapter", model.facts)


@pytest.mark.slow
def test_a_version_of_the_arm_without_retrieval_carries_no_rows_and_says_nothing_of_them(
    made: Made, documents: DataArtifact
) -> None:
    made.register(a_verdict(0.85), data=documents)
    with open_registry("", made.store, "") as registry:
        version = registry.client.get_model_version_by_alias(MODEL, "champion")
    assert version.description == "Tuning earns its place."
    assert "carries" not in version.tags
    assert list((made.store.root / "mlartifacts").rglob(retrieval_file.FILE)) == []


@pytest.mark.slow
def test_more_than_a_version_carries_is_refused_with_what_to_do_and_nothing_is_registered(
    made: Made, documents: DataArtifact, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retrieval_file, "MOST_MEBIBYTES", 1e-4)
    with pytest.raises(
        ConfigRefused,
        match=r"not registered: 4 passages take up 0.0 MiB, and .* carries at most 0.0001 MiB.*arms.trained: \[tuned\]",
    ):
        made.register(a_retrieval_verdict(0.85), data=documents)
    made.register(a_verdict(0.85), data=documents)


@pytest.mark.slow
def test_an_adapter_with_retrieval_and_without_it_are_two_versions_each_registered_once(
    made: Made, documents: DataArtifact, tmp_path: Path
) -> None:
    other = made.store.folder("work", "other")
    shutil.copytree(made.store.open(documents.digest), other, dirs_exist_ok=True, ignore=lambda *_: ["manifest.json"])
    polars.DataFrame({"document": ["new.md", "b.md"], "text": ["texas and ohio", "iowa"]}).write_parquet(
        other / "corpus.parquet"
    )
    later = documents.model_copy(update={"digest": made.store.seal("data", other), "documents": 2})
    versions = [
        made.register(verdict, data=data).version
        for verdict, data in (
            (a_verdict(0.85), documents),
            (a_retrieval_verdict(0.85), documents),
            (a_retrieval_verdict(0.85), later),
        )
        for _ in range(2)
    ]
    assert versions == ["1", "1", "2", "2", "3", "3"]


@pytest.mark.slow
def test_a_version_that_would_show_more_of_the_same_passages_is_another_version(
    made: Made, documents: DataArtifact
) -> None:
    versions = [
        made.register(
            a_retrieval_verdict(0.85), data=documents, retrieval=RETRIEVAL.model_copy(update={"top_k": count})
        ).version
        for count in (2, 3, 2)
    ]
    assert versions == ["1", "2", "1"]
    packed = (made.store.root / "mlartifacts").rglob("MLmodel")
    assert {yaml.safe_load(path.read_text())["flavors"]["python_function"]["config"]["top_k"] for path in packed} == {
        2,
        3,
    }


@pytest.mark.slow
@pytest.mark.parametrize("harm", ["missing", "altered"])
def test_a_version_whose_passages_are_not_the_registered_ones_refuses_to_load(
    harm: str, made: Made, documents: DataArtifact, tmp_path: Path
) -> None:
    made.register(a_retrieval_verdict(0.85), data=documents)
    (file,) = (made.store.root / "mlartifacts").rglob(retrieval_file.FILE)
    folder = shutil.copytree(file.parent, tmp_path / "version")
    facts = ServedFacts("x", "lora", 8, "tiny", made.base.digest, made.base.template_digest, 2, carrying_digest(file))
    AdaptedModel(folder, facts)
    if harm == "missing":
        (folder / retrieval_file.FILE).unlink()
    else:
        (folder / retrieval_file.FILE).write_bytes(file.read_bytes().replace(b"texas", b"dakota"))
    with pytest.raises(ArtifactBroken, match="is missing" if harm == "missing" else "has digest"):
        AdaptedModel(folder, replace(facts))


def carrying_digest(file: Path) -> str:
    import hashlib

    return hashlib.sha256(file.read_bytes()).hexdigest()


def test_only_a_version_that_retrieves_asks_for_the_libraries_of_retrieval() -> None:
    def names(*how: Any) -> set[str]:
        return {line.partition("==")[0] for line in requirements(*how)}

    assert names("lora", True) - names("lora", False) == {"bm25s", "PyStemmer", "model2vec"}
