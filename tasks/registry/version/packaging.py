"""An MLflow model folder of a few megabytes: the adapter, the code that answers, and no path of this machine."""

from __future__ import annotations

import hashlib
import importlib.metadata
import importlib.util
import platform
import re
import shutil
from dataclasses import asdict
from pathlib import Path

import yaml

from tasks.inference.prompts.golden import copy_golden
from tasks.inference.prompts.retrieval_file import FILE
from tasks.registry.version.served_facts import ServedFacts

ENTRY = "tasks.registry.version.served"
RETRIEVING = ("bm25s", "PyStemmer", "model2vec")
LIBRARIES = ("mlflow", "torch", "transformers", "peft", "tokenizers", "safetensors", "pydantic")
_IMPORT = re.compile(r"^(\s*(?:from|import)\s+)((?:tasks|schemas)(?:\.\w+)+)", re.MULTILINE)


def build_model(folder: Path, adapter: Path, facts: ServedFacts, carried: bytes = b"") -> None:
    """Write a model folder that `mlflow.pyfunc.load_model` can read at any place.

    Args:
        folder: where; it must not exist.
        adapter: opened adapter artifact; its best/ and its golden rows go into the model.
        facts: what the model answers with.
        carried: content of the file that it retrieves from; empty for none.
    """
    from mlflow import pyfunc
    from mlflow.models import Model, ModelSignature
    from mlflow.types import ColSpec, ParamSchema, ParamSpec, Schema

    shutil.copytree(adapter / "best", folder / "adapter")
    copy_golden(adapter, folder / "adapter")
    if carried:
        (folder / "adapter" / FILE).write_bytes(carried)
    package = copy_code(folder / "code")
    _write_requirements(folder, requirements(facts.method, facts.top_k > 0, bool(facts.grammar)))
    text = Schema([ColSpec("string")])
    # A loader of our own instead of a pickled object or a script: nothing is run to register it, and MLmodel holds no
    # path of this machine.
    history = ParamSpec("history", "string", default=[], shape=(-1,))
    params = ParamSchema([history, ParamSpec("tools", "string", default="")])
    model = Model(signature=ModelSignature(inputs=text, outputs=text, params=params))
    pyfunc.add_to_model(
        model,
        loader_module=f"{package}.{ENTRY}",
        data="adapter",
        code="code",
        conda_env="conda.yaml",
        python_env="python_env.yaml",
        model_config=asdict(facts),
    )
    model.save(str(folder / "MLmodel"))


def _write_requirements(folder: Path, pins: list[str]) -> None:
    """Write the environment in MLflow's three formats, without resolving it."""
    python = platform.python_version()
    conda = {
        "name": "mlflow-env",
        "channels": ["conda-forge"],
        "dependencies": [f"python={python}", "pip", {"pip": pins}],
    }
    (folder / "requirements.txt").write_text("\n".join(pins) + "\n", encoding="utf-8")
    (folder / "conda.yaml").write_text(yaml.safe_dump(conda, sort_keys=False), encoding="utf-8")
    environment = {"python": python, "build_dependencies": ["pip"], "dependencies": ["-r requirements.txt"]}
    (folder / "python_env.yaml").write_text(yaml.safe_dump(environment), encoding="utf-8")


def requirements(method: str, retrieves: bool, has_grammar: bool = False) -> list[str]:
    """Return the exact versions of the libraries that an answer depends on."""
    names = [*LIBRARIES, *(["bitsandbytes"] if method == "qlora" else []), *(RETRIEVING if retrieves else [])]
    names += ["llguidance"] if has_grammar else []
    return [f"{name}=={importlib.metadata.version(name).partition('+')[0]}" for name in names]


def copy_code(folder: Path) -> str:
    """Copy ENTRY and every module of ours that it imports, under a package name of their own; return that name.

    The name contains the code's digest: two versions in one process never share code, nor do they conflict with an
    installed `tasks`.
    """
    sources = own_sources(ENTRY)
    digest = hashlib.sha256("".join(f"{name}\n{text}" for name, text in sorted(sources.items())).encode()).hexdigest()[
        :10
    ]
    package = f"tuneworthy_{digest}"
    for module, text in sources.items():
        path = folder / package / Path(*module.split(".")).with_suffix(".py")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(_IMPORT.sub(rf"\g<1>{package}.\g<2>", text), encoding="utf-8")
    for path in [folder / package, *(folder / package).rglob("*")]:
        if path.is_dir():
            (path / "__init__.py").touch()
    return package


def own_sources(entry: str) -> dict[str, str]:
    """Return the source of a module and of every module of ours that it imports, at any depth."""
    sources: dict[str, str] = {}
    waiting = [entry]
    while waiting:
        module = waiting.pop()
        spec = importlib.util.find_spec(module)
        if module not in sources and spec is not None and spec.origin is not None:
            sources[module] = Path(spec.origin).read_text(encoding="utf-8")
            waiting += [name for _, name in _IMPORT.findall(sources[module])]
    return sources
