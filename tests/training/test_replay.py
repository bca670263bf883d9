"""Neutral texts in place of examples: as many steps, the share that was asked for, and less forgotten."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import pytest
from pydantic import ValidationError

from schemas.config import RunConfig
from schemas.errors import ConfigRefused, TrainingStopped
from tasks.neutral import measured_texts
from tasks.reuse.sources import source_file
from tasks.reuse.store import ArtifactStore
from tasks.training.replay import mix_in, text_rows
from tasks.training.step.packing import TrainingDataset, plan_steps
from tasks.training.task import gather_replay
from tests.training.examples import fit, sealed_digest, token_rows

TEXTS = [f"In the year {year} the river froze and the mill stood still." for year in range(1600, 1660)]


def a_dataset(rows: int = 40) -> TrainingDataset:
    """Return rows in the steps of three epochs."""
    own = token_rows(rows)
    return TrainingDataset(own, [], plan_steps([row.tokens for row in own], 60, 3, 7), 6, 2)


@pytest.fixture
def texts(tmp_path: Path) -> Path:
    """Write texts as gather_replay seals them."""
    path = tmp_path / "texts.json"
    path.write_text(json.dumps(TEXTS[:12]), encoding="utf-8")
    return path


@pytest.mark.parametrize("share", [0.1, 0.25, 0.5])
def test_the_share_of_every_epoch_is_replaced_and_the_steps_stay_as_many(share: float) -> None:
    before = a_dataset()
    after = mix_in(before, token_rows(7, seed=2), share, 7)
    assert [(step.epoch, len(step.rows), step.done) for step in after.steps] == [
        (step.epoch, len(step.rows), step.done) for step in before.steps
    ]
    for epoch in range(3):
        rows = [row for step in after.steps if step.epoch == epoch for row in step.rows]
        assert sum(row >= 40 for row in rows) == round(share * 40)
        assert len({row for row in rows if row < 40}) == 40 - round(share * 40)


def test_every_text_comes_before_one_comes_again() -> None:
    mixed = mix_in(a_dataset(), token_rows(7, seed=2), 0.25, 7)
    seen = Counter(row for step in mixed.steps for row in step.rows if row >= 40)
    assert len(seen) == 7 and max(seen.values()) - min(seen.values()) <= 1


def test_a_text_is_learned_whole_and_cut_at_the_longest_row(texts: Path, tiny_model: Path) -> None:
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(tiny_model)
    rows = text_rows(texts, tokenizer, 10)
    assert [row.prompt_ids + row.answer_ids for row in rows] == [
        tokenizer(text)["input_ids"][:10] for text in TEXTS[:12]
    ]
    assert {len(row.prompt_ids) for row in rows} == {1}


@pytest.mark.slow
def test_a_fit_with_replay_has_as_many_steps_learns_the_texts_and_is_the_same_twice(
    tiny_model: Path, tmp_path: Path, texts: Path
) -> None:
    from tasks.benchmark.neutral import text_losses
    from tasks.inference.loading import AdapterFolder, load_model

    def loss(folder: Path) -> float:
        one = load_model(tiny_model, adapter=AdapterFolder(folder / "workdir" / "out" / "last", "lora"))
        return sum(text_losses(one.model, one.tokenizer, TEXTS[:12], lambda done, total: None)) / 12

    fitted = {}
    for name, replay in (("without", 0.0), ("once", 0.4), ("again", 0.4)):
        (tmp_path / name).mkdir()
        fitted[name] = fit(tiny_model, tmp_path / name / "workdir", texts=texts if replay else None, replay=replay)
    assert fitted["once"].steps == fitted["without"].steps
    assert sealed_digest(tmp_path / "once" / "workdir") == sealed_digest(tmp_path / "again" / "workdir")
    facts = {name: json.loads((tmp_path / name / "workdir" / "out" / "facts.json").read_text()) for name in fitted}
    assert facts["once"]["rows"] == facts["without"]["rows"] and facts["once"]["replay"] == 0.4
    assert "replay" not in facts["without"], "an adapter without it is sealed as before"
    assert loss(tmp_path / "once") < loss(tmp_path / "without")


def test_checkpoints_with_other_texts_are_those_of_another_fit(tiny_model: Path, tmp_path: Path, texts: Path) -> None:
    fit(tiny_model, tmp_path / "workdir", texts=texts, replay=0.2, epochs=1)
    texts.write_text(json.dumps(TEXTS[:11]), encoding="utf-8")
    with pytest.raises(TrainingStopped, match="replay"):
        fit(tiny_model, tmp_path / "workdir", texts=texts, replay=0.2, epochs=1)


def test_no_text_that_is_measured_is_learned(store: ArtifactStore, tmp_path: Path) -> None:
    (tmp_path / "own.jsonl").write_text("".join(json.dumps({"text": text}) + "\n" for text in TEXTS), encoding="utf-8")
    made = gather_replay(source_file(tmp_path / "own.jsonl", store))
    learned = json.loads((store.open(made.digest) / "texts.json").read_text(encoding="utf-8"))
    assert len(learned) == made.texts > 0
    assert not set(learned) & set(measured_texts(TEXTS))
    assert set(learned) | set(measured_texts(TEXTS)) == set(TEXTS)


def test_replay_without_texts_is_refused(tmp_path: Path, tiny_model: Path) -> None:
    (tmp_path / "texts.json").write_text("[]", encoding="utf-8")
    with pytest.raises(ConfigRefused, match=r"training\.replay: benchmark\.neutral has no text"):
        text_rows(tmp_path / "texts.json", None, 10)


@pytest.mark.parametrize(
    ("training", "benchmark", "said"),
    [
        ({"replay": 0.1}, {"neutral": None}, "training.replay: it mixes in texts of benchmark.neutral, which is null"),
        ({"replay": 0.6}, {}, "less than or equal to 0.5"),
        ({"replay": -0.1}, {}, "greater than or equal to 0"),
    ],
)
def test_a_replay_that_cannot_be_is_refused_in_the_config(
    training: dict[str, float], benchmark: dict[str, None], said: str
) -> None:
    parts = {"task": {"instruction": "i", "metric": "exact"}, "data": {"source": "r.jsonl", "group": "g"}}
    whole = {"name": "n", "base": {"model": "m"}, "registry": {"model": "r"}, **parts}
    with pytest.raises(ValidationError, match=said):
        RunConfig.model_validate(whole | {"training": training, "benchmark": benchmark})
