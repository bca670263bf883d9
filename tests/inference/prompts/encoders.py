"""Small sentence encoders whose vectors are known."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from model2vec import StaticModel
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import Whitespace

WORDS = ["[UNK]", "[PAD]", "car", "automobile", "boat", "ship", "red", "old", "printer"]


def tokenizer() -> Tokenizer:
    made = Tokenizer(WordLevel({word: number for number, word in enumerate(WORDS)}, unk_token="[UNK]"))
    made.pre_tokenizer = Whitespace()
    return made


def static_encoder(folder: Path) -> Path:
    """A static encoder to which cars, automobiles and printers are one, boats and ships another."""
    meanings = np.eye(4, dtype=np.float32)
    vectors = np.stack([np.zeros(4), np.zeros(4), *meanings[[0, 0, 1, 1, 2, 3, 0]]]).astype(np.float32)
    StaticModel(vectors, tokenizer()).save_pretrained(folder)
    return folder
