"""The plain classifier as an arm: what it learns, what it leaves, and that it loads no language model."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import polars
import pytest

from schemas.artifacts import DataArtifact
from schemas.config import RunConfig
from schemas.sections.arms import ArmsConfig
from schemas.sections.decision import DecisionConfig
from schemas.sections.task import ChoiceAnswer, TaskConfig
from tasks.arms.classifier import fitted
from tasks.arms.settings import arm_settings
from tasks.arms.task import score_classifier
from tasks.arms.timing import measure_seconds
from tasks.decision.task import decide
from tasks.reuse.progress import Reporter
from tasks.reuse.store import ArtifactStore
from tests.flows.conftest import small, tuneworthy

__all__ = ["small"]

LABELS = ("billing", "delivery", "returns")
WORDS = {"billing": "invoice charge card", "delivery": "parcel courier late", "returns": "send back refund shoes"}
TASK = TaskConfig(
    instruction="Name the label.", answer=ChoiceAnswer(format="choice", labels=LABELS), metric="choice", also=("em",)
)


def sealed(store: ArtifactStore, train: int = 60, labels: tuple[str, ...] = LABELS) -> DataArtifact:
    folder = store.folder("work", "data")
    rows = [
        {
            "row_id": place,
            "history": ["hello"],
            "prompt": f"{WORDS[label].split()[place % 3]} number {place}",
            "completion": label,
            "group": str(place),
        }
        for place in range(train + 30)
        for label in [labels[place // 3 % len(labels)]]
    ]
    kinds = {"history": polars.List(polars.String)}
    polars.DataFrame(rows[:train], schema_overrides=kinds).write_parquet(folder / "train.parquet")
    polars.DataFrame(rows[train:], schema_overrides=kinds).write_parquet(folder / "held_out.parquet")
    counts = {"train_rows": train, "held_out_rows": 30, "refused_rows": 0, "documents": 0}
    return DataArtifact(digest=store.seal("data", folder), reasons={}, **counts)


def test_it_learns_labels_from_the_train_rows_and_is_scored_as_any_arm(store: ArtifactStore) -> None:
    made = score_classifier(TASK, sealed(store), None, 7)
    folder = store.open(made.digest)
    table = polars.read_parquet(folder / "answers.parquet")
    assert table["row_id"].to_list() == list(range(60, 90))
    assert (made.arm, made.score, made.valid_rate, made.prompt_tokens) == ("classifier", 1, 1, 0)
    assert made.also == {"em": 1, "macro_f1": 1}
    assert json.loads((folder / "details.json").read_text()) == {"confusions": []}


def test_an_arm_that_is_good_enough_without_a_language_model_is_the_verdict(store: ArtifactStore) -> None:
    made = score_classifier(TASK, sealed(store), None, 7)
    verdict = decide(DecisionConfig(target=0.8), None, (made,), None)
    assert verdict.verdict == "classifier" and verdict.is_sufficient
    assert verdict.headline.startswith("A plain classifier is enough: no language model is needed.")


def test_its_answers_are_timed_one_by_one_without_a_base(store: ArtifactStore, tmp_path: Path) -> None:
    folder, arm = store.open(sealed(store).digest), arm_settings("classifier", ArmsConfig(limit=10), False)
    timed = measure_seconds(arm, TASK, tmp_path / "no base", folder, None, 7, Reporter())
    assert (timed.arm, timed.rows) == ("classifier", 10)
    assert 0 < timed.p50 <= timed.p95 < 5


def test_train_rows_of_one_label_name_that_label(store: ArtifactStore) -> None:
    made = score_classifier(TASK, sealed(store, labels=("billing",)), 5, 7)
    assert (made.rows, made.score) == (5, 1)


def test_requests_without_spaces_between_words_are_told_apart() -> None:
    model = fitted(["请退款给我", "包裹还没有到", "我要退款", "包裹在哪里"], ["a", "b", "a", "b"], 7)
    assert list(model.predict(["可以退款吗", "包裹还没到"])) == ["a", "b"]


@pytest.mark.slow
def test_it_loads_no_language_model() -> None:
    code = (
        "import sys, tasks.arms.classifier as c; c.fitted(['a b', 'c d'], ['x', 'y'], 7).predict(['a']); "
        "print([m for m in ('torch', 'transformers') if m in sys.modules])"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=os.environ, check=True)
    assert ran.stdout.strip() == "[]"


def config(answer: dict[str, object], **arms: object) -> RunConfig:
    sections = {"task": {"instruction": "x", "answer": answer}, "data": {"source": "r.jsonl"}, "arms": arms}
    return RunConfig.model_validate({"name": "t", "base": {"model": "m"}, "registry": {"model": "m"}, **sections})


def test_it_is_measured_where_answers_are_labels_and_left_out_elsewhere() -> None:
    choice = config({"format": "choice", "labels": ["a", "b"]})
    assert choice.arms.untrained[0] == "classifier"
    text = config({"format": "text"}, limit=5)
    assert text.arms.untrained == ("prompt", "few_shot", "retrieval") and text.arms.limit == 5
    assert RunConfig.model_validate(text.model_dump()) == text
    with pytest.raises(ValueError, match=r'classifier needs task\.answer\.format "choice", not "text"'):
        config({"format": "text"}, untrained=["classifier"])


@pytest.mark.slow
def test_a_whole_comparison_of_labels_measures_it_first_and_names_it(small: Path, tmp_path: Path) -> None:
    labels = "task.answer={format: choice, labels: [red, green, blue, black, white]}"
    settings = (labels, "task.metric=choice", "data.held_out=0.5", "arms.untrained=[classifier, prompt]")
    arguments = [part for setting in settings for part in ("--set", setting)]
    ran = tuneworthy("compare", small, "--json", *arguments, store=tmp_path / "store")
    assert ran.returncode == 0, ran.stderr
    found = json.loads(ran.stdout)["verdict"]
    assert [arm["arm"] for arm in found["arms"]] == ["classifier", "prompt"]
    assert found["arm"] == "classifier" and found["arms"][0]["score"] > found["arms"][1]["score"]
