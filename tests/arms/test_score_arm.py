"""The arms' stage on a tiny model: what is measured, what enters the key, what is refused."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import polars
import pytest

from schemas.artifacts import ArmArtifact, DataArtifact, ModelArtifact
from schemas.errors import ConfigRefused, TuneworthyError
from schemas.sections.arms import ArmsConfig, FewShotConfig, RetrievalConfig
from schemas.sections.task import ChoiceAnswer, TaskConfig
from tasks.arms.prompting import context_of
from tasks.arms.settings import arm_settings
from tasks.arms.task import score_arm
from tasks.inference.prompts import retrieval_file
from tasks.reuse.progress import Reporter, current_reporter
from tasks.reuse.store import ArtifactStore
from tests.random_adapter import sealed_adapter, sealed_base
from tests.tampered_base import tampered

# peft asks transformers in an old way when it makes adapters
pytestmark = [
    pytest.mark.filterwarnings("ignore:.is_gradient_checkpointing"),
    pytest.mark.filterwarnings("ignore:Could not find a config file in tiny"),
]

TASK = TaskConfig(instruction="Name the state's capital.", metric="token_f1")
ARMS = ArmsConfig(
    few_shot=FewShotConfig(shots=2), retrieval=RetrievalConfig(top_k=2, passage_words=20), max_new_tokens=6
)
STATES = ["texas", "ohio", "iowa", "utah", "maine", "idaho", "nevada", "kansas"]


@pytest.fixture
def base(store: ArtifactStore, tiny_model: Path) -> ModelArtifact:
    return sealed_base(store, tiny_model)


def sealed_data(store: ArtifactStore, corpus: dict[str, str] | None = None, before: Sequence[str] = ()) -> DataArtifact:
    folder = store.folder("work", "data")
    rows = [
        {
            "row_id": place + 1,
            "history": list(before),
            "prompt": f"capital of {state}?",
            "completion": f"the city of {state}",
            "group": state,
        }
        for place, state in enumerate(STATES)
    ]
    kinds = {"history": polars.List(polars.String)}
    polars.DataFrame(rows[:5], schema_overrides=kinds).write_parquet(folder / "train.parquet")
    polars.DataFrame(rows[5:][::-1], schema_overrides=kinds).write_parquet(folder / "held_out.parquet")
    if corpus:
        polars.DataFrame({"document": list(corpus), "text": list(corpus.values())}).write_parquet(
            folder / "corpus.parquet"
        )
    return DataArtifact(
        digest=store.seal("data", folder),
        train_rows=5,
        held_out_rows=3,
        refused_rows=0,
        reasons={},
        documents=len(corpus or {}),
    )


def answers(store: ArtifactStore, arm: ArmArtifact) -> polars.DataFrame:
    return polars.read_parquet(store.open(arm.digest) / "answers.parquet")


@pytest.mark.parametrize("arm", ["prompt", "few_shot", "retrieval"])
def test_with_a_grammar_every_answer_of_an_arm_meets_the_contract_that_it_broke_without(
    store: ArtifactStore, base: ModelArtifact, arm: str
) -> None:
    task = TaskConfig(instruction="Name it.", answer=ChoiceAnswer(format="choice", labels=("ohio", "iowa")))
    rates = [
        score_arm(arm_settings(name, ARMS, False), task, base, sealed_data(store), None, 7).valid_rate
        for name in (arm, f"{arm}+grammar")
    ]
    assert rates == [0.0, 1.0]


@pytest.mark.parametrize("arm", ["prompt", "few_shot", "retrieval"])
def test_an_untrained_arm_answers_every_held_out_row_once_in_the_order_of_the_rows(
    store: ArtifactStore, base: ModelArtifact, arm: str
) -> None:
    made = score_arm(arm_settings(arm, ARMS, False), TASK, base, sealed_data(store), None, 7)
    table = answers(store, made)
    assert table["row_id"].to_list() == [6, 7, 8]
    assert table.columns == [
        "row_id",
        "group",
        "output",
        "score",
        "is_valid",
        "strict_score",
        "lenient_score",
        "prompt_tokens",
        "output_tokens",
        "is_stopped",
        "shown",
        "found",
        "in_corpus",
    ]
    assert table["output_tokens"].max() <= 6  # type: ignore[operator]
    assert made.rows == 3
    assert made.score == made.strict_score == pytest.approx(table["score"].mean())
    assert made.lenient_score == pytest.approx(table["lenient_score"].mean())
    assert made.stopped_rate == pytest.approx(table["is_stopped"].mean())


def test_shots_and_passages_make_the_prompts_longer_than_the_zero_shot_ones(
    store: ArtifactStore, base: ModelArtifact
) -> None:
    data = sealed_data(store)
    tokens = {
        arm: score_arm(arm_settings(arm, ARMS, False), TASK, base, data, None, 7).prompt_tokens
        for arm in ("prompt", "few_shot", "retrieval")
    }
    assert tokens["prompt"] < tokens["few_shot"]
    assert tokens["prompt"] < tokens["retrieval"]


@pytest.mark.slow
def test_a_tuned_arm_asks_what_its_untrained_twin_asks_and_answers_otherwise(
    store: ArtifactStore, base: ModelArtifact, tmp_path: Path
) -> None:
    data, adapter = sealed_data(store), sealed_adapter(store, base, tmp_path / "scratch")
    for plain, tuned in (("prompt", "tuned"), ("retrieval", "tuned_retrieval")):
        one = answers(store, score_arm(arm_settings(plain, ARMS, False), TASK, base, data, None, 7))
        other = answers(store, score_arm(arm_settings(tuned, ARMS, False), TASK, base, data, adapter, 7))
        assert one["prompt_tokens"].to_list() == other["prompt_tokens"].to_list()
        assert one["output"].to_list() != other["output"].to_list()


def test_the_limit_measures_the_first_rows_only(store: ArtifactStore, base: ModelArtifact) -> None:
    made = score_arm(
        arm_settings("prompt", ARMS.model_copy(update={"limit": 2}), False), TASK, base, sealed_data(store), None, 7
    )
    assert answers(store, made)["row_id"].to_list() == [6, 7]


class Ran(Reporter):
    def __init__(self) -> None:
        self.how: list[str] = []
        self.lines: list[str] = []

    def say(self, text: str) -> None:
        self.lines.append(text)

    def stage_finished(self, label: str, how: str, seconds: float, peak_bytes: int, source: str = "") -> None:
        self.how.append(how)


@pytest.mark.parametrize(
    ("corpus", "again"),
    [(None, ["hit", "ran", "hit"]), ({"a.md": "texas and ohio", "b.md": "iowa"}, ["hit", "ran", "ran"])],
)
def test_a_change_of_the_shots_measures_only_the_arms_that_show_them_again(
    store: ArtifactStore, base: ModelArtifact, corpus: dict[str, str] | None, again: list[str]
) -> None:
    data, ran = sealed_data(store, corpus), Ran()
    token = current_reporter.set(ran)
    try:
        for arms in (ARMS, ARMS.model_copy(update={"few_shot": FewShotConfig(shots=3)})):
            for arm in ("prompt", "few_shot", "retrieval"):
                score_arm(arm_settings(arm, arms, corpus is not None), TASK, base, data, None, 7)
    finally:
        current_reporter.reset(token)
    assert ran.how == ["ran", "ran", "ran", *again]


def test_a_task_with_documents_shows_passages_of_them_and_rows_of_the_train_split_only(store: ArtifactStore) -> None:
    data = store.open(sealed_data(store, {"capitals.md": "The capital of nevada is carson city. " * 10}).digest)
    shown = context_of(arm_settings("retrieval", ARMS, True), data, 7)
    assert {passage.document for passage in shown.passages} == {"capitals.md"} and len(shown.passages) > 1
    assert not shown.examples
    train = polars.read_parquet(data / "train.parquet")
    held_out = polars.read_parquet(data / "held_out.parquet")
    prompts = {example.request.prompt for example in shown.shots}
    assert len(prompts) == 2 and prompts <= set(train["prompt"]) and not prompts & set(held_out["prompt"])


def test_examples_beside_passages_are_read_once_for_all_rows(store: ArtifactStore, base: ModelArtifact) -> None:
    data, said = sealed_data(store, {f"{state}.md": f"The capital of {state} is a city." for state in STATES}), Ran()
    token = current_reporter.set(said)
    try:
        alone, beside = (
            score_arm(
                arm_settings("retrieval", ARMS.model_copy(update={"retrieval": retrieval}), True),
                TASK,
                base,
                data,
                None,
                7,
            )
            for retrieval in (RetrievalConfig(top_k=2, shots=0), RetrievalConfig(top_k=2))
        )
    finally:
        current_reporter.reset(token)
    shared = [int(line.split("the first ")[1].split()[0]) for line in said.lines[:2]]
    assert shared[1] - shared[0] == pytest.approx(beside.prompt_tokens - alone.prompt_tokens)
    assert beside.prompt_tokens > 2 * alone.prompt_tokens, "the examples have passages of their own"


@pytest.mark.parametrize(("limit", "told"), [(1e-4, True), (64, False)])
def test_an_arm_says_when_it_retrieves_from_more_than_a_version_carries(
    store: ArtifactStore, base: ModelArtifact, monkeypatch: pytest.MonkeyPatch, limit: float, told: bool
) -> None:
    monkeypatch.setattr(retrieval_file, "MOST_MEBIBYTES", limit)
    said = Ran()
    token = current_reporter.set(said)
    try:
        score_arm(arm_settings("retrieval", ARMS, False), TASK, base, sealed_data(store), None, 7)
    finally:
        current_reporter.reset(token)
    assert told == any("5 train rows take up" in line and "could not be registered" in line for line in said.lines)


def test_a_prompt_longer_than_the_window_refuses_the_arm_and_names_what_to_lower(
    store: ArtifactStore, base: ModelArtifact
) -> None:
    data = sealed_data(store)
    arms = ARMS.model_copy(update={"max_new_tokens": 2000})
    with pytest.raises(
        ConfigRefused,
        match=r"Arm few_shot does not fit the model: 3 of 3 prompts.*rows .*window is 2048 tokens.*arms.few_shot.shots",
    ):
        score_arm(arm_settings("few_shot", arms, False), TASK, base, data, None, 7)


def test_more_shots_than_train_rows_are_refused(store: ArtifactStore, base: ModelArtifact) -> None:
    arms = ARMS.model_copy(update={"few_shot": FewShotConfig(shots=6)})
    with pytest.raises(ConfigRefused, match=r"arms.few_shot.shots: 6 requested, but there are only 5 train rows"):
        score_arm(arm_settings("few_shot", arms, False), TASK, base, sealed_data(store), None, 7)


def test_an_adapter_of_another_base_or_template_is_refused(
    store: ArtifactStore, base: ModelArtifact, tmp_path: Path
) -> None:
    data, adapter = sealed_data(store), sealed_adapter(store, base, tmp_path / "scratch")
    for field, what in (("base_digest", "base model"), ("template_digest", "chat template")):
        with pytest.raises(TuneworthyError, match=f"fitted with {what} ffff"):
            score_arm(
                arm_settings("tuned", ARMS, False), TASK, base, data, adapter.model_copy(update={field: "f" * 64}), 7
            )


def test_an_arm_reads_what_was_said_before_the_request(store: ArtifactStore, base: ModelArtifact) -> None:
    plain, after = (
        score_arm(arm_settings("prompt", ARMS, False), TASK, base, sealed_data(store, before=before), None, 7)
        for before in ([], ["hello", "what is it?"])
    )
    assert after.prompt_tokens > plain.prompt_tokens
    assert answers(store, after)["output"].to_list() != answers(store, plain)["output"].to_list()


@pytest.mark.parametrize("how", ["tokenizer", "template"])
def test_a_tuned_arm_stops_when_rows_are_rendered_differently_from_how_they_were_learned(
    store: ArtifactStore, base: ModelArtifact, tiny_model: Path, tmp_path: Path, how: str
) -> None:
    other = sealed_base(store, tampered(tiny_model, tmp_path / "other", how))
    adapter = sealed_adapter(store, other, tmp_path / "scratch").model_copy(
        update={"base_digest": base.digest, "template_digest": base.template_digest}
    )
    with pytest.raises(TuneworthyError, match=r"golden rows are rendered differently.*\n  sealed: .*\n  now: "):
        score_arm(arm_settings("tuned", ARMS, False), TASK, base, sealed_data(store), adapter, 7)


@pytest.mark.model
@pytest.mark.slow
def test_shots_make_the_real_model_answer_in_the_form_that_they_show(store: ArtifactStore, smollm2: Path) -> None:
    base, data = sealed_base(store, smollm2), sealed_data(store)
    arms = ARMS.model_copy(update={"few_shot": FewShotConfig(shots=5), "max_new_tokens": 12})
    prompt, shown = (
        score_arm(arm_settings(arm, arms, False), TASK, base, data, None, 7) for arm in ("prompt", "few_shot")
    )
    assert answers(store, shown)["output"].str.starts_with("the city of").all()
    assert shown.stopped_rate == 1
    assert shown.score > prompt.score
