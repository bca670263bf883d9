"""What searching many passages costs: seconds to build, memory, and milliseconds a query.

python benchmarks/search.py bm25 --passages 1000000
python benchmarks/search.py dense --encoder FOLDER --passages 1000000

Passages are made of 110 words drawn from 200,000 by Zipf's law. Of a dense index the vectors are random, as the time of
a comparison does not depend on them; the encoder's own speed is measured on 2,000 passages. Seconds are of the
processor, and a query's are the median of 50.
"""

from __future__ import annotations

import argparse
import os
import resource
import shutil
import tempfile
import time
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save_file

from tasks.inference.prompts.encoding import ENCODER, VECTORS, Encoder
from tasks.inference.prompts.search import Search

WORDS, VOCABULARY, ENCODED, QUERIES = 110, 200_000, 2_000, 50


def passages(count: int) -> list[str]:
    """Return made-up passages."""
    chance = np.random.default_rng(7)
    names = np.array(["".join(chance.choice(list("abcdefghijklmnoprstuvw"), 7)) for _ in range(VOCABULARY)])
    drawn = (chance.zipf(1.2, size=(count, WORDS)) - 1) % VOCABULARY
    return [" ".join(names[row]) for row in drawn]


def dense_index(folder: Path, encoder: Path, texts: list[str]) -> None:
    """Write an index of random vectors, and print how fast the encoder is."""
    (folder / ENCODER).mkdir()
    for path in encoder.iterdir():
        if path.is_file():
            shutil.copyfile(path, folder / ENCODER / path.name)
    started = time.process_time()
    length = Encoder(folder / ENCODER).encode(texts[:ENCODED]).shape[1]
    rate = min(ENCODED, len(texts)) / (time.process_time() - started)
    print(f"encoder: {rate:,.0f} passages a second, so {len(texts) / rate:,.0f} s for {len(texts):,}")
    vectors = torch.cat([torch.randn(50_000, length).to(torch.bfloat16) for _ in range(0, len(texts), 50_000)])
    save_file({"vectors": vectors[: len(texts)].clone()}, str(folder / VECTORS))


def main() -> None:
    """Build, ask, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("search", choices=("bm25", "dense"))
    parser.add_argument("--passages", type=int, default=1_000_000)
    parser.add_argument("--encoder", type=Path)
    asked = parser.parse_args()
    texts = passages(asked.passages)
    with tempfile.TemporaryDirectory() as name:
        if asked.search == "dense":
            dense_index(Path(name), asked.encoder, texts)
        print(f"texts alone: {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6:.2f} GB")
        started = time.process_time()
        search = Search(texts, "en", asked.search, Path(name))
        print(f"opened in {time.process_time() - started:,.0f} s")
        seconds = []
        for text in texts[:QUERIES]:
            begun, query = time.process_time(), " ".join(text.split()[:10])
            search.nearest(query, 4)
            seconds.append(time.process_time() - begun)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
    print(f"{1000 * np.median(seconds):.1f} ms a query (processor, {os.cpu_count()} cores), peak {peak:.2f} GB")


if __name__ == "__main__":
    main()
