"""Vectors of what retrieval searches, written beside the rows together with the encoder that made them."""

from __future__ import annotations

import os
import shutil
import time
from pathlib import Path
from typing import TYPE_CHECKING

from tasks.inference.prompts.encoding import ENCODER, INDEX, write_vectors
from tasks.inference.prompts.retrieval_index import read_passages, read_train
from tasks.reuse.store import MANIFEST

if TYPE_CHECKING:
    from schemas.sources import BaseSource
    from tasks.reuse.progress import Reporter


def write_index(data: Path, passage_words: int | None, encoder: BaseSource, out: Path, reporter: Reporter) -> None:
    """Write the data with an index: vectors of its passages of `passage_words` words, or of its train requests.

    Args:
        data: opened data artifact.
        passage_words: None where there are no documents.
        encoder: its files.
        out: where everything goes.
        reporter: receives the progress.
    """
    for path in data.iterdir():
        if path.is_file() and path.name != MANIFEST:
            _link(path, out / path.name)
    folder = out / INDEX / ENCODER
    folder.mkdir(parents=True)
    for file in encoder.files:
        _link(Path(file.path), folder / Path(file.path).name)
    if passage_words is None:
        texts = [row.request.text for row in read_train(data)]
    else:
        texts = [passage.text for passage in read_passages(data, passage_words)]
    started = time.monotonic()
    length = write_vectors(texts, out / INDEX, lambda done, total: reporter.advance(done, total, "texts encoded"))
    seconds = time.monotonic() - started
    reporter.say(f"index: {len(texts):,} vectors of {length} numbers by {encoder.name} in {seconds:.0f} s")


def _link(path: Path, target: Path) -> None:
    try:
        os.link(path.resolve(), target)
    except OSError:  # another disk, or a file system without hard links
        shutil.copyfile(path, target)
