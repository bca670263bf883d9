"""What a base's files tell is refused before anything of it is loaded, by name and with the next step."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from schemas.config import BaseConfig
from schemas.errors import ConfigRefused, ModelMissing, TuneworthyError
from tasks.base.inspection import inspect_files, template_of
from tasks.base.sources import locate_base
from tasks.base.task import fetch_base
from tasks.reuse.store import ArtifactStore
from tests.tiny_model import TEMPLATE

Folder = Path
LFS = "version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n"


@pytest.fixture
def model(tiny_model: Path, tmp_path: Path) -> Folder:
    """A copy of the tiny model that a test may break."""
    return Path(shutil.copytree(tiny_model, tmp_path / "model"))


def edit(path: Path, **values: object) -> None:
    path.write_text(json.dumps(json.loads(path.read_text()) | values))


def inspect(folder: Folder, store: ArtifactStore, chat_template: str | None = None) -> None:
    source = locate_base(BaseConfig(model=str(folder), chat_template=chat_template), folder, store)
    inspect_files(source.name, [Path(file.path) for file in source.files], template_of(source))


def change_weights(folder: Folder, change: Callable[[dict[str, np.ndarray]], None]) -> None:
    from safetensors.numpy import load_file, save_file

    weights = load_file(folder / "model.safetensors")
    change(weights)
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})


def add_token(folder: Folder, text: str, is_special: bool) -> None:
    tokenizer = json.loads((folder / "tokenizer.json").read_text())
    flags = dict.fromkeys(("single_word", "lstrip", "rstrip", "normalized"), False)
    tokenizer["added_tokens"].append({"id": 384, "content": text, "special": is_special, **flags})
    (folder / "tokenizer.json").write_text(json.dumps(tokenizer))


def of_class(name: str, **more: object) -> Callable[[Folder], None]:
    return lambda folder: edit(folder / "config.json", architectures=[name], **more)


def templated(text: str) -> Callable[[Folder], None]:
    return lambda folder: (folder / "chat_template.jinja").write_text(text)


def written(name: str, text: str) -> Callable[[Folder], None]:
    return lambda folder: (folder / name).write_text(text)


def without(*names: str) -> Callable[[Folder], None]:
    return lambda folder: [(folder / name).unlink() for name in names] and None


REFUSED: dict[str, tuple[Callable[[Folder], object], type[TuneworthyError], str]] = {
    "no template": (without("chat_template.jinja"), ConfigRefused, r"no chat template.*set base.chat_template"),
    "an empty template": (templated(""), ConfigRefused, "no chat template"),
    "two beginnings of text": (templated("{{ bos_token }}" + TEMPLATE), ConfigRefused, r"writes .* 2 times"),
    "an answer without an end": (
        templated("{% for m in messages %}{{ m.role }}: {{ m.content }}\n{% endfor %}{{ 'assistant: ' }}"),
        ConfigRefused,
        "",
    ),
    "an encoder": (of_class("BertForMaskedLM", model_type="bert"), ConfigRefused, "BertForMaskedLM, an encoder"),
    "a bare encoder": (of_class("RobertaModel", model_type="roberta"), ConfigRefused, "an encoder"),
    "encoder and decoder": (
        of_class("T5ForConditionalGeneration", model_type="t5", is_encoder_decoder=True),
        ConfigRefused,
        "an encoder or a model with one",
    ),
    "a classifier": (of_class("LlamaForSequenceClassification"), ConfigRefused, r"another task.*\(LlamaForCausalLM\)"),
    "a reward model": (of_class("LlamaForRewardModel"), ConfigRefused, "another task"),
    "a newer architecture": (of_class("NextForCausalLM", model_type="next9"), ConfigRefused, r'does not know "next9"'),
    "weights in git's place": (written("model.safetensors", LFS), ModelMissing, r"model.safetensors .*git lfs pull"),
    "a tokenizer in git's place": (written("tokenizer.json", LFS), ModelMissing, r"tokenizer.json .*git lfs pull"),
    "weights of another format": (written("model.safetensors", "x" * 2000), ModelMissing, "are damaged"),
    "a page instead of a config": (written("config.json", "<html>"), ModelMissing, "config.json of model is damaged"),
    "no tokenizer": (without("tokenizer.json", "tokenizer_config.json"), ModelMissing, "tokenizer of model cannot"),
    "a damaged tokenizer": (written("tokenizer.json", '{"version": '), ModelMissing, "tokenizer of model cannot"),
    "a foreign token": (lambda at: add_token(at, "printer", False), ConfigRefused, r"token 384 \('printer'\)"),
    "a head that is not there": (
        lambda at: edit(at / "config.json", tie_word_embeddings=False),
        ModelMissing,
        "incomplete, 1 missing: the output layer",
    ),
    "a shard without its tensor": (
        written("model.safetensors.index.json", json.dumps({"weight_map": {"lost.weight": "model.safetensors"}})),
        ModelMissing,
        "1 missing: lost.weight",
    ),
    "no number": (
        lambda at: change_weights(at, lambda weights: weights["model.norm.weight"].fill(np.nan)),
        ConfigRefused,
        r"infinite or none \(NaN\): model.norm.weight",
    ),
    "an infinite number": (
        lambda at: change_weights(at, lambda weights: weights["model.norm.weight"].put(3, -np.inf)),
        ConfigRefused,
        "infinite or none",
    ),
}


@pytest.mark.parametrize("kind", REFUSED)
def test_a_base_that_its_files_tell_against_is_refused_before_it_is_loaded(
    kind: str, model: Folder, store: ArtifactStore
) -> None:
    inspect(model, store)
    broken, error, message = REFUSED[kind]
    broken(model)
    with pytest.raises(error, match=f"(?s)base.model: .*{message}"):
        inspect(model, store)


@pytest.mark.parametrize(("kind", "values"), [("adapter", {"peft_type": "LORA"}), ("bits", {})])
def test_a_folder_that_is_no_base_is_said_to_be_what_it_is(
    kind: str, values: dict[str, str], model: Folder, store: ArtifactStore
) -> None:
    without("config.json")(model)
    (model / ("adapter_config.json" if kind == "adapter" else "other.json")).write_text(json.dumps(values))
    expected = "is an adapter.*Merge it" if kind == "adapter" else "is missing config.json"
    with pytest.raises(TuneworthyError, match=expected):
        inspect(model, store)


def test_special_tokens_without_an_embedding_are_let_be_where_no_template_writes_them(
    model: Folder, store: ArtifactStore
) -> None:
    add_token(model, "<image>", True)
    inspect(model, store)
    templated("<image>" + TEMPLATE)(model)
    with pytest.raises(ConfigRefused, match="<image>"):
        inspect(model, store)


def test_code_beside_a_model_that_transformers_knows_is_not_needed(model: Folder, store: ArtifactStore) -> None:
    edit(model / "config.json", auto_map={"AutoModelForCausalLM": "modeling.LlamaForCausalLM"})
    inspect(model, store)
    made = fetch_base(locate_base(BaseConfig(model=str(model)), model, store))
    assert "auto_map" not in (store.open(made.digest) / "config.json").read_text()


@pytest.mark.parametrize("name", ["chat_template.json", "tokenizer_config.json"])
def test_a_template_is_found_in_each_place_where_makers_put_it(name: str, model: Folder, store: ArtifactStore) -> None:
    without("chat_template.jinja")(model)
    if name == "chat_template.json":
        (model / name).write_text(json.dumps({"chat_template": TEMPLATE}))
    else:
        named = [{"name": "default", "template": TEMPLATE}, {"name": "tool_use", "template": "{{ tools }}"}]
        edit(model / name, chat_template=named)
    inspect(model, store)
    made = fetch_base(locate_base(BaseConfig(model=str(model)), model, store))
    assert (store.open(made.digest) / "chat_template.jinja").read_text() == TEMPLATE


def test_a_template_of_ones_own_takes_the_place_of_the_bases(model: Folder, store: ArtifactStore) -> None:
    from transformers import AutoTokenizer

    edit(model / "tokenizer_config.json", chat_template="{{ 1 }}")
    (model / "mine.jinja").write_text("Hello. " + TEMPLATE)
    inspect(model, store, "mine.jinja")
    source = locate_base(BaseConfig(model=str(model), chat_template="mine.jinja"), model, store)
    made = fetch_base(source)
    assert made.digest != fetch_base(locate_base(BaseConfig(model=str(model)), model, store)).digest
    loaded = AutoTokenizer.from_pretrained(store.open(made.digest))
    assert loaded.chat_template == "Hello. " + TEMPLATE


@pytest.mark.parametrize(
    ("content", "message"),
    [(None, "No such file"), (b"", "is empty"), (b"\xff\xfe", "not UTF-8"), (b"{% for %}", "base.model")],
)
def test_a_template_that_cannot_be_used_is_refused(
    content: bytes | None, message: str, model: Folder, store: ArtifactStore
) -> None:
    if content is not None:
        (model / "mine.jinja").write_bytes(content)
    with pytest.raises(ConfigRefused, match=message):
        inspect(model, store, "mine.jinja")


def test_weights_that_the_architecture_looks_for_in_vain_are_found_before_an_arm_is_measured(
    model: Folder, store: ArtifactStore
) -> None:
    change_weights(model, lambda weights: weights.pop("model.layers.1.mlp.up_proj.weight") is None)
    inspect(model, store)
    with pytest.raises(ModelMissing, match=r"incomplete, 1 missing: model.layers.1.mlp.up_proj.weight"):
        fetch_base(locate_base(BaseConfig(model=str(model)), model, store))


@pytest.mark.slow
def test_a_base_is_inspected_without_torch(model: Folder) -> None:
    program = (
        "import sys; from pathlib import Path; from tasks.base.inspection import inspect_files; "
        f"inspect_files('m', list(Path({str(model)!r}).iterdir())); print('torch' in sys.modules)"
    )
    assert (
        subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout == "False\n"
    )


def test_a_base_that_is_to_think_is_another_one(model: Folder, store: ArtifactStore) -> None:
    made = {
        thinking: fetch_base(locate_base(BaseConfig(model=str(model), thinking=thinking), model, store)).digest  # type: ignore[arg-type]
        for thinking in ("off", "on", "keep")
    }
    assert len(set(made.values())) == 3
