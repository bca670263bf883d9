"""Loss on neutral text: what is measured, how it is compared, and which files are refused before anything is spent."""

import hashlib
import json
from collections import Counter
from pathlib import Path

import polars as pl
import pytest

from schemas.errors import ConfigRefused
from schemas.sections.benchmark import BenchmarkConfig
from tasks.benchmark.locating import SHIPPED, locate_benchmarks
from tasks.benchmark.neutral import compare_losses, locate_neutral, text_losses
from tasks.benchmark.task import benchmark_adapter, gather_benchmark
from tasks.neutral import measured_texts, read_texts, replay_texts
from tasks.reuse.store import ArtifactStore
from tests.random_adapter import sealed_adapter, sealed_base

FILE = SHIPPED / "neutral" / "texts.jsonl"
OWN = [f"A cat number {number} sat on a mat and looked at the moon." for number in range(40)]


def shipped() -> list[dict[str, str]]:
    """Read the rows of the shipped file."""
    return [json.loads(line) for line in FILE.read_text(encoding="utf-8").splitlines()]


def written(folder: Path, texts: list[str]) -> Path:
    """Write texts as a file of their own."""
    (folder / "own.jsonl").write_text("".join(json.dumps({"text": text}) + "\n" for text in texts), encoding="utf-8")
    return folder / "own.jsonl"


def test_the_shipped_texts_are_many_short_unique_and_of_many_kinds() -> None:
    rows = shipped()
    kinds = Counter(row["kind"] for row in rows)
    assert len({row["text"] for row in rows}) == len({row["id"] for row in rows}) == len(rows) >= 300
    assert len(kinds) >= 14 and max(kinds.values()) <= 0.1 * len(rows)
    assert all(40 <= len(row["text"].split()) <= 120 for row in rows)


def test_at_least_200_shipped_texts_are_measured_and_every_kind_stands_on_both_sides() -> None:
    kinds = {row["text"]: row["kind"] for row in shipped()}
    texts = read_texts(FILE)
    measured, replayed = measured_texts(texts), replay_texts(texts)
    assert len(measured) >= 200 and sorted([*measured, *replayed]) == sorted(texts)
    assert {kinds[text] for text in measured} == {kinds[text] for text in replayed} == set(kinds.values())


def test_no_two_shipped_texts_share_eight_words_in_a_row() -> None:
    """Texts that repeat each other would be one cluster."""
    seen: dict[tuple[str, ...], str] = {}
    for row in shipped():
        words = row["text"].split()
        for start in range(len(words) - 7):
            assert seen.setdefault(tuple(words[start : start + 8]), row["id"]) == row["id"]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("", "has 0 different texts"),
        ("".join(json.dumps({"text": text}) + "\n" for text in OWN[:7]), "has 7 different texts"),
        ((json.dumps({"text": OWN[0]}) + "\n") * 30, "has 1 different texts"),
        ("{broken\n", "line 1: each line is JSON"),
        ('{"text": "A cat sat on a mat, and so on."}\n{"body": "no text"}\n', "line 2: each line is JSON"),
        ('{"text": "short"}\n', "at least 20 characters"),
        ('["a list"]\n', "line 1"),
    ],
)
def test_a_file_that_cannot_be_measured_is_refused_with_the_next_step(
    content: str, said: str, tmp_path: Path, store: ArtifactStore
) -> None:
    (tmp_path / "own.jsonl").write_text(content, encoding="utf-8")
    with pytest.raises(ConfigRefused, match=r"benchmark\.neutral") as refusal:
        locate_benchmarks(BenchmarkConfig(neutral="own.jsonl"), tmp_path, store)
    assert said in str(refusal.value)


def test_a_missing_file_is_refused_and_null_measures_none(tmp_path: Path, store: ArtifactStore) -> None:
    with pytest.raises(ConfigRefused, match=r"benchmark\.neutral: no file 'nowhere\.jsonl'"):
        locate_neutral("nowhere.jsonl", (tmp_path, SHIPPED), store)
    assert locate_neutral(None, (tmp_path, SHIPPED), store) is None


def test_a_text_stays_on_its_side_when_others_come(tmp_path: Path) -> None:
    before = measured_texts(read_texts(written(tmp_path, OWN[:20])))
    after = measured_texts(read_texts(written(tmp_path, OWN[::-1])))
    assert set(before) == set(after) & set(OWN[:20])


def test_the_loss_is_the_models_own_cross_entropy_text_by_text(tiny_model: Path) -> None:
    import torch

    from tasks.inference.loading import load_model

    loaded = load_model(tiny_model, dtype=torch.float32)
    expected = []
    for text in OWN[:6]:
        ids = torch.tensor([loaded.tokenizer(text)["input_ids"]])
        with torch.inference_mode():
            expected.append(float(loaded.model(input_ids=ids, labels=ids).loss))
    assert text_losses(loaded.model, loaded.tokenizer, OWN[:6], lambda done, total: None) == pytest.approx(
        expected, abs=1e-4
    )


def test_a_text_longer_than_the_window_is_measured_up_to_it(tiny_model: Path) -> None:
    from tasks.inference.loading import load_model

    loaded = load_model(tiny_model)
    long = " ".join(OWN) * 20
    assert len(loaded.tokenizer(long)["input_ids"]) > loaded.window
    assert text_losses(loaded.model, loaded.tokenizer, [long], lambda done, total: None)[0] > 0


@pytest.mark.parametrize(
    ("moved", "standing"), [(0.0, "kept"), (0.02, "kept"), (0.1, "inconclusive"), (0.3, "lost"), (-0.3, "kept")]
)
def test_a_change_is_kept_lost_or_inconclusive_against_its_own_margin(moved: float, standing: str) -> None:
    base = [3.0 + 0.01 * number for number in range(200)]
    tuned = [loss + moved + (0.05 if number % 2 else -0.05) * (moved != 0) for number, loss in enumerate(base)]
    found = compare_losses(base, tuned, margin=0.1, confidence=0.95)
    assert found.standing == standing
    assert found.difference == pytest.approx(moved) and found.low <= moved + 1e-9 and found.high >= moved - 1e-9


@pytest.mark.slow
def test_the_benchmark_stage_measures_base_and_tuned_on_the_same_texts(
    store: ArtifactStore, tiny_model: Path, tmp_path: Path
) -> None:
    written(tmp_path, OWN)
    config = BenchmarkConfig(tasks=("general_mini_grammar",), limit=8, neutral="own.jsonl")
    base = sealed_base(store, tiny_model)
    files = gather_benchmark(locate_benchmarks(config, tmp_path, store))
    made = {
        method: benchmark_adapter(
            config.asking(0.95), base, sealed_adapter(store, base, tmp_path / method, method), 7, files
        )
        for method in ("lora", "qlora")
    }
    for one in made.values():
        table = pl.read_parquet(store.open(one.digest) / "neutral.parquet")
        assert one.neutral is not None and one.neutral.texts == len(table) == len(measured_texts(OWN))
        assert one.neutral.difference == pytest.approx((table["tuned"] - table["base"]).mean())
        assert one.neutral.difference != 0
    assert made["lora"].neutral is not None and made["qlora"].neutral is not None
    assert made["lora"].neutral.base == pytest.approx(made["qlora"].neutral.base, abs=1e-3)


def test_other_texts_are_another_benchmark_and_the_place_of_the_file_is_none(
    store: ArtifactStore, tmp_path: Path
) -> None:
    def gathered(folder: str, texts: list[str]) -> str:
        (tmp_path / folder).mkdir(exist_ok=True)
        written(tmp_path / folder, texts)
        config = BenchmarkConfig(tasks=("general_mini_grammar",), neutral="own.jsonl")
        return gather_benchmark(locate_benchmarks(config, tmp_path / folder, store)).digest

    first = gathered("one", OWN)
    assert gathered("two", OWN) == first
    assert gathered("one", OWN[1:]) != first
    assert hashlib.sha256((store.open(first) / "neutral.jsonl").read_bytes()).hexdigest() in (
        store.open(first) / "sources.json"
    ).read_text(encoding="utf-8")
