"""The weight files of a base, read from their headers: what is missing, damaged or not a number."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from schemas.errors import ConfigRefused, ModelMissing

LFS = b"version https://git-lfs"
CHUNK = 1 << 24  # numbers looked at at once
# A number from these bits on (its sign left out) is infinite or none; other kinds of numbers are neither.
NOT_FINITE = {"BF16": ("<u2", 0x7F80), "F16": ("<u2", 0x7C00), "F32": ("<u4", 0x7F800000)}


@dataclass(frozen=True)
class Tensor:
    """A tensor of a weight file: its kind of number, its shape, and the bytes it takes from `start` to `end`."""

    path: Path
    dtype: str
    shape: tuple[int, ...]
    start: int
    end: int

    @property
    def is_finite(self) -> bool:
        """Whether every number of it is one, and not infinite."""
        import numpy as np

        if self.dtype not in NOT_FINITE or self.start == self.end:
            return True
        kind, least = NOT_FINITE[self.dtype]
        count = (self.end - self.start) // np.dtype(kind).itemsize
        numbers, without_sign = np.memmap(self.path, kind, "r", self.start, (count,)), np.iinfo(kind).max >> 1
        return not any(
            ((numbers[place : place + CHUNK] & without_sign) >= least).any() for place in range(0, count, CHUNK)
        )


def read_tensors(name: str, paths: list[Path]) -> dict[str, Tensor]:
    """Return the tensors in the weight files among `paths`, by name.

    Raises:
        ModelMissing: a weight file is a Git LFS pointer, damaged or cut short.
    """
    pointers = [path.name for path in paths if path.stat().st_size < 1024 and path.read_bytes().startswith(LFS)]
    if pointers:
        raise ModelMissing(
            f"base.model: {', '.join(pointers[:3])} of {name} is not the file itself but what git keeps in its place "
            f"(Git LFS). Run `git lfs pull` in {paths[0].parent}, or fetch the model again."
        )
    found: dict[str, Tensor] = {}
    for path in (path for path in paths if path.suffix == ".safetensors"):
        try:
            found |= _header(path)
        except (ValueError, KeyError, TypeError, AttributeError) as fault:
            raise ModelMissing(
                f"base.model: the weights of {name} are damaged: {path.name}: {fault}. Fetch the model again."
            ) from fault
    return found


def _header(path: Path) -> dict[str, Tensor]:
    """Return the tensors of a safetensors file: eight bytes of length, JSON, then the numbers."""
    size = path.stat().st_size
    with path.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
        if length > size - 8:
            raise ValueError(f"its header should have {length:,} bytes, and the file has {size:,}")
        header = json.loads(file.read(length))
    header.pop("__metadata__", None)
    found = {
        tensor: Tensor(path, entry["dtype"], tuple(entry["shape"]), *(8 + length + at for at in entry["data_offsets"]))
        for tensor, entry in header.items()
    }
    end = max((tensor.end for tensor in found.values()), default=0)
    if end > size:
        raise ValueError(f"it should have {end:,} bytes and has {size:,}")
    return found


def refuse_missing(name: str, config: dict[str, Any], index: dict[str, str], tensors: dict[str, Tensor]) -> None:
    """Refuse weights that lack files, tensors that the index names, or the output layer; fetch_base looks for the rest.

    Args:
        name: of the base.
        config: its config.json.
        index: tensor -> the weight file that should hold it; empty where all are in one file.
        tensors: what is there.

    Raises:
        ModelMissing: something is missing.
    """
    files = {tensor.path.name for tensor in tensors.values()}
    absent = sorted(set(index.values()) - files)
    if absent:
        raise ModelMissing(
            f"base.model: {name} is missing {len(absent)} of {len(set(index.values()))} weight files "
            f"({', '.join(absent[:3])}). Fetch the model again."
        )
    text = config.get("text_config") or config
    wide = [one for one in tensors.values() if len(one.shape) == 2 and one.shape[0] == text.get("vocab_size")]
    lost = sorted(index.keys() - tensors.keys())
    if config.get("tie_word_embeddings", text.get("tie_word_embeddings")) is False and len(wide) < 2:
        lost.append("the output layer, which is not the embeddings (tie_word_embeddings is false)")
    if lost:
        refuse_lost(name, lost)


def refuse_lost(name: str, lost: list[str]) -> None:
    """Refuse weights that are not complete: the rest would be made up at random, differently at every load.

    Raises:
        ModelMissing: always; the message names the first few.
    """
    raise ModelMissing(
        f"base.model: the weights of {name} are incomplete, {len(lost)} missing: {', '.join(lost[:3])}. They would be "
        "random numbers. Fetch the model again."
    )


def refuse_not_finite(name: str, tensors: dict[str, Tensor]) -> None:
    """Refuse weights with a number that is infinite or none.

    Raises:
        ConfigRefused: there is one; the message names the tensors.
    """
    broken = sorted(tensor for tensor, numbers in tensors.items() if not numbers.is_finite)
    if broken:
        raise ConfigRefused(
            f"base.model: {len(broken)} of {len(tensors)} tensors of {name} hold numbers that are infinite or none "
            f"(NaN): {', '.join(broken[:3])}. Fetch the model again, or name another one."
        )
