"""The sizes of a base model, read from its config.json and the headers of its weights without loading a library."""

from __future__ import annotations

import json
import math
import re
from dataclasses import dataclass
from pathlib import Path

# The older names of sizes in config.json.
GPT2_NAMES = {
    "n_embd": "hidden_size",
    "n_layer": "num_hidden_layers",
    "n_head": "num_attention_heads",
    "n_inner": "intermediate_size",
}


# Weights that look like a linear layer's and are neither quantised nor adapted: of experts, which are one parameter
# once they are loaded, of routers, and of what reads images or sound.
NO_LINEAR = re.compile(r"\.experts\.|(gate|router)\.weight$|vision|visual|audio")


@dataclass(frozen=True)
class Linear:
    """One linear layer inside the blocks: its name without ".weight", and its size."""

    name: str
    outputs: int
    inputs: int


@dataclass(frozen=True)
class Shape:
    """The sizes of a base that its use of memory follows from; `stored` is the bytes of its files."""

    layers: int
    hidden: int
    inner: int
    queries: int
    keys: int
    heads: int
    vocabulary: int
    parameters: int
    stored: int
    linears: tuple[Linear, ...]

    @property
    def in_linears(self) -> int:
        """Number of weights in the linear layers of the blocks: what is quantised."""
        return sum(layer.outputs * layer.inputs for layer in self.linears)

    @property
    def head(self) -> int:
        """Number of weights of the output layer."""
        return self.vocabulary * self.hidden


def read_shape(base: Path) -> Shape:
    """Return the shape of a base folder from its config.json and the headers of its safetensors files."""
    config = json.loads((base / "config.json").read_text(encoding="utf-8"))
    config = {GPT2_NAMES.get(name, name): value for name, value in (config.get("text_config") or config).items()}
    tensors = {name: size for path in sorted(base.glob("*.safetensors")) for name, size in _header(path).items()}
    hidden, heads = config["hidden_size"], config["num_attention_heads"]
    of_head = config.get("head_dim") or hidden // heads
    weights = (name for name, size in tensors.items() if len(size) == 2 and name.endswith(".weight"))
    inside = (name for name in weights if re.search(r"\.\d+\.", name) and not NO_LINEAR.search(name))
    return Shape(
        layers=config["num_hidden_layers"],
        hidden=hidden,
        inner=config.get("intermediate_size") or 4 * hidden,
        queries=heads * of_head,
        keys=(config.get("num_key_value_heads") or heads) * of_head,
        heads=heads,
        vocabulary=config["vocab_size"],
        parameters=sum(math.prod(size) for size in tensors.values()),
        stored=sum(path.stat().st_size for path in base.glob("*.safetensors")),
        linears=tuple(Linear(name.removesuffix(".weight"), *tensors[name]) for name in sorted(inside)),
    )


def _header(path: Path) -> dict[str, list[int]]:
    """Return name -> size of the tensors in a safetensors file: eight bytes of length, then JSON."""
    with path.open("rb") as file:
        header = json.loads(file.read(int.from_bytes(file.read(8), "little")))
    return {name: entry["shape"] for name, entry in header.items() if name != "__metadata__"}
