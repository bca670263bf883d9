"""Search by the meaning of texts, alone and merged with the search by words."""

from __future__ import annotations

import json
from pathlib import Path

import polars as pl
import pytest
import torch
from pydantic import ValidationError
from transformers import BertConfig, BertModel, PreTrainedTokenizerFast

from schemas.errors import ArtifactBroken, ConfigRefused, ModelMissing
from schemas.sections.arms import RetrievalConfig
from schemas.sources import BaseSource, SourceFile
from tasks.base.sources import locate_encoder
from tasks.data.indexing import write_index
from tasks.inference.prompts.encoding import ENCODER, INDEX, Encoder, write_vectors
from tasks.inference.prompts.retrieval_index import retrieved_from, with_retrieved
from tasks.inference.prompts.search import Search
from tasks.reuse.progress import Reporter
from tasks.reuse.store import ArtifactStore
from tests.inference.prompts.encoders import WORDS, static_encoder, tokenizer

TEXTS = ["old boat", "red automobile", "old old ship"]
REPORTER = Reporter()


def transformer(folder: Path) -> Path:
    torch.manual_seed(7)
    sizes = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 32}
    BertModel(BertConfig(vocab_size=len(WORDS), max_position_embeddings=16, **sizes)).save_pretrained(folder)
    wrapped = PreTrainedTokenizerFast(tokenizer_object=tokenizer(), unk_token="[UNK]", pad_token="[PAD]")
    wrapped.save_pretrained(folder)
    return folder


@pytest.fixture
def index(tmp_path: Path) -> Path:
    static_encoder(tmp_path / INDEX / ENCODER)
    write_vectors(TEXTS, tmp_path / INDEX, lambda *_: None)
    return tmp_path / INDEX


def test_a_text_of_the_same_meaning_is_found_that_shares_no_word_with_the_query(index: Path) -> None:
    assert Search(TEXTS).nearest("car", 1) == []
    assert Search(TEXTS, search="dense", index=index).nearest("car", 1) == [1]
    assert Search(TEXTS, search="fused", index=index).nearest("car", 1) == [1]


def test_fused_lists_put_first_what_both_hold_high(index: Path) -> None:
    # by words: 2 (old twice), 0; by meaning, ship and boat being one: 0, 2, 1; merged the earlier wins a tie
    words, meaning = Search(TEXTS), Search(TEXTS, search="dense", index=index)
    assert (words.nearest("old ship car", 3), meaning.nearest("old ship car", 3)) == ([0, 2], [1, 2, 0])
    assert Search(TEXTS, search="fused", index=index).nearest("old ship car", 3) == [1, 2, 0]
    assert Search(TEXTS, search="fused", index=index).nearest("old ship car", 3, left_out=[2]) == [1, 0]


def test_by_meaning_nothing_is_found_for_an_empty_query(index: Path) -> None:
    assert Search(TEXTS, search="dense", index=index).nearest(" ", 2) == []


def test_an_index_of_other_texts_is_refused(index: Path) -> None:
    with pytest.raises(ArtifactBroken, match="is of 3 texts, not of 4"):
        Search([*TEXTS, "red"], search="dense", index=index)


def test_a_texts_vector_is_the_mean_of_its_own_tokens_whatever_it_is_batched_with(tmp_path: Path) -> None:
    encoder = Encoder(transformer(tmp_path / "bert"))
    together = encoder.encode(["red", "old ship old ship old ship", "red car"])
    with torch.inference_mode():
        tokens = encoder.model(input_ids=torch.tensor([[6, 2]])).last_hidden_state[0]
    torch.testing.assert_close(together[2], torch.nn.functional.normalize(tokens.mean(0), dim=0), atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(together[0], encoder.encode(["red"])[0], atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("words", [120, None], ids=["passages", "train rows"])
def test_rows_are_shown_what_the_sealed_index_finds(tmp_path: Path, words: int | None) -> None:
    rows = pl.DataFrame({"row_id": [1, 2], "history": [[], []], "prompt": ["old ship", "red car"], "group": ["a", "b"]})
    rows = rows.with_columns(completion=pl.Series(["x", "y"]), history=pl.Series([[], []], dtype=pl.List(pl.String)))
    data, out = tmp_path / "data", tmp_path / "out"
    data.mkdir()
    out.mkdir()
    rows.write_parquet(data / "train.parquet")
    pl.DataFrame({"document": ["b", "a"], "text": TEXTS[:2]}).write_parquet(data / "corpus.parquet")
    files = [SourceFile(path=str(path), digest="0", suffix="") for path in static_encoder(tmp_path / "m").iterdir()]
    write_index(data, words, BaseSource(name="m", files=tuple(files)), out, REPORTER)
    asked = pl.DataFrame({"history": [[]], "prompt": ["automobile"], "group": ["c"]}, schema_overrides=rows.schema)
    (shown,) = with_retrieved(asked, retrieved_from(out, 1, words, search="dense")).iter_rows(named=True)
    assert "red automobile" in shown["prompt"] if words else shown["history"] == ["red car", "y"]
    assert (out / "train.parquet").read_bytes() == (data / "train.parquet").read_bytes()


def test_a_search_by_meaning_without_an_encoder_and_an_unused_encoder_are_refused() -> None:
    for settings in ({"search": "dense"}, {"search": "fused"}, {"encoder": "folder"}):
        with pytest.raises(ValidationError, match="set both or leave both out"):
            RetrievalConfig.model_validate(settings)


def test_an_encoder_that_pools_in_another_way_or_is_missing_is_refused_by_its_setting(
    tmp_path: Path, store: ArtifactStore
) -> None:
    folder = transformer(tmp_path / "cls")
    assert locate_encoder("cls", tmp_path, store).name == "cls"
    (folder / "1_Pooling").mkdir()
    (folder / "1_Pooling" / "config.json").write_text(json.dumps({"pooling_mode_cls_token": True}))
    with pytest.raises(ConfigRefused, match=r"^arms\.retrieval\.encoder: cls does not average"):
        locate_encoder("cls", tmp_path, store)
    with pytest.raises(ModelMissing, match=r"^arms\.retrieval\.encoder: there is no folder"):
        locate_encoder("none", tmp_path, store)
