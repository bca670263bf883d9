"""Texts as vectors of length 1 that lie close where texts mean the same, by an encoder that runs on the processor.

An encoder is a transformer whose token vectors are averaged, or a static model (model2vec), which looks its tokens up
and averages them. The vectors are written once (tasks/data/indexing.py) and lie beside their encoder, as a request has
to be encoded by the same one.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from schemas.errors import ArtifactBroken
from tasks.inference.quietness import quietly

INDEX, ENCODER, VECTORS = "index", "encoder", "vectors.safetensors"
BATCH = 32  # texts of about one length
AT_ONCE = 2048  # texts between two lines of progress
RESCORED = 100  # texts beyond those asked for that are ranked again in full precision


class Encoder:
    """A sentence encoder, loaded from a folder."""

    def __init__(self, folder: Path) -> None:
        self.static: Any = None
        with safe_open(str(next(folder.glob("*.safetensors"))), framework="pt") as weights:
            is_static = bool({"embeddings", "embedding.weight"} & set(weights.keys()))
        with quietly():
            if is_static:
                from model2vec import StaticModel

                self.static = StaticModel.from_pretrained(folder)
                return
            from transformers import AutoModel, AutoTokenizer

            place = {"trust_remote_code": False, "local_files_only": True}
            self.tokenizer = AutoTokenizer.from_pretrained(str(folder), **place)
            self.model = AutoModel.from_pretrained(str(folder), dtype=torch.float32, **place).eval()
            self.window = min(self.tokenizer.model_max_length, self.model.config.max_position_embeddings)

    @torch.inference_mode()
    def encode(self, texts: Sequence[str]) -> torch.Tensor:
        """Return one row of float32 a text. A transformer reads no more of a text than its window holds."""
        if self.static is not None:
            return _unit(torch.from_numpy(self.static.encode(list(texts))).float())
        order = sorted(range(len(texts)), key=lambda place: len(texts[place]))
        parts = []
        for start in range(0, len(order), BATCH):
            some = [texts[place] for place in order[start : start + BATCH]]
            given = self.tokenizer(some, padding=True, truncation=True, max_length=self.window, return_tensors="pt")
            shown = given["attention_mask"].unsqueeze(-1)
            parts.append(_unit((self.model(**given).last_hidden_state * shown).sum(1) / shown.sum(1)))
        return torch.cat(parts)[torch.tensor(order).argsort()]


def _unit(vectors: torch.Tensor) -> torch.Tensor:
    return torch.nn.functional.normalize(vectors, dim=1)


def write_vectors(texts: Sequence[str], folder: Path, advance: Callable[[int, int], None]) -> int:
    """Write the vectors of an index by the encoder in it, in two bytes a number; return their length."""
    encoder, parts = Encoder(folder / ENCODER), list[torch.Tensor]()
    for start in range(0, len(texts), AT_ONCE):
        parts.append(encoder.encode(texts[start : start + AT_ONCE]).to(torch.bfloat16))
        advance(min(start + AT_ONCE, len(texts)), len(texts))
    vectors = torch.cat(parts)
    save_file({"vectors": vectors}, str(folder / VECTORS))
    return int(vectors.shape[1])


class Dense:
    """Finds the texts whose vectors are nearest to a query's: all are compared, none is left to an approximation."""

    def __init__(self, index: Path, texts: int) -> None:
        """Open an index.

        Raises:
            ArtifactBroken: it is not that of these texts.
        """
        self._encoder = Encoder(index / ENCODER)
        self._vectors = load_file(str(index / VECTORS))["vectors"]
        if len(self._vectors) != texts:
            raise ArtifactBroken(f"The index in {index} is of {len(self._vectors)} texts, not of {texts}. Run again.")

    def best(self, query: str, count: int, left_out: Sequence[int] = ()) -> list[int]:
        """Return the places of the `count` nearest texts, the nearest first; none for an empty query."""
        if not query.strip():
            return []
        asked = self._encoder.encode([query])[0]
        rough = (self._vectors @ asked.to(torch.bfloat16)).float()
        rough[list(left_out)] = -torch.inf
        near = rough.topk(min(len(rough) - len(set(left_out)), count + RESCORED)).indices.sort().values
        scores = self._vectors[near].float() @ asked
        return [int(place) for place in near[scores.argsort(descending=True, stable=True)][:count]]
