"""One config file is one whole run: frozen models, unknown keys refused, every field with a description and bounds."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from schemas.sections.arms import ArmsConfig, RetrievalConfig
from schemas.sections.benchmark import BenchmarkConfig
from schemas.sections.costs import CostsConfig
from schemas.sections.data import DataConfig
from schemas.sections.decision import DecisionConfig
from schemas.sections.section import NOT_IN_KEY, Section
from schemas.sections.task import TaskConfig
from schemas.sections.training import TrainingConfig


class BaseConfig(Section):
    """The base model: always pinned, converted to safetensors, and loaded without remote code."""

    model: str = Field(
        min_length=1,
        description="package://NAME (GGUF inside an installed package), a folder, or a hub id with `revision`.",
        json_schema_extra=NOT_IN_KEY,
    )
    revision: str | None = Field(
        None, description="Commit of a hub id; required for one.", json_schema_extra=NOT_IN_KEY
    )
    chat_template: str | None = Field(
        None,
        min_length=1,
        description="File with a chat template (Jinja), for a base that has none or a wrong one; the base's own when "
        "left out.",
        json_schema_extra=NOT_IN_KEY,
    )
    thinking: Literal["off", "on", "keep"] = Field(
        "off",
        description="Whether the model reasons before it answers, in training, in every arm and as it is served. off: "
        "its template is told not to, and a row with a reasoning trace is refused (data.checks.reasoning_trace: note "
        "learns its answer alone). on: it is told to, and traces of rows are learned with their answers. keep: the "
        "template's own default; traces stay in earlier turns too. Scores read what follows the trace.",
    )


class RegistryConfig(Section):
    """Where the adapter goes when it has earned it."""

    model: str = Field(
        min_length=1,
        max_length=200,
        pattern=r"^[A-Za-z0-9_. -]+$",
        description="Name of the registered model in MLflow.",
    )


StageName = Literal[
    "label_rows",
    "validate_data",
    "read_slices",
    "index_texts",
    "fetch_base",
    "check_rendering",
    "score_classifier",
    "score_arm",
    "score_endpoint",
    "check_leakage",
    "write_data_report",
    "gather_benchmark",
    "gather_replay",
    "train_adapter",
    "benchmark_adapter",
    "fetch_champion",
    "find_learned_rows",
    "score_champion",
    "compare_champion",
    "decide",
    "write_report",
    "track_verdict",
    "register_adapter",
    "time_arm",
    "take_share",
    "write_advice",
]


class StageLimits(Section):
    """How often a stage is tried again, and how long one try may take."""

    retries: int = Field(
        3,
        ge=0,
        le=100,
        description="Tries after the first one, for faults that may pass (network, storage, a full card, pre-emption).",
    )
    minutes: float | None = Field(
        None,
        gt=0,
        description="A try that takes longer fails; the next run continues from what it saved in its work directory.",
    )


class RunConfig(Section):
    """One whole run: task, rows, base, arms, training, benchmark, decision, registry."""

    name: str = Field(
        pattern=r"^[a-z0-9][a-z0-9-]*$",
        max_length=60,
        description="Lower-case name of the run; also the MLflow experiment.",
    )
    seed: int = Field(7, ge=0, le=2**31 - 1, description="Seeds the split, the shots and the training.")
    task: TaskConfig = Field(description="What is asked and how it is scored.")
    data: DataConfig = Field(description="The rows.")
    base: BaseConfig = Field(description="The base model.")
    arms: ArmsConfig = Field(default_factory=ArmsConfig, description="What is measured.")
    training: TrainingConfig = Field(default_factory=TrainingConfig, description="How the adapter is fitted.")
    benchmark: BenchmarkConfig = Field(default_factory=BenchmarkConfig, description="What must not be forgotten.")
    decision: DecisionConfig = Field(default_factory=DecisionConfig, description="When tuning is worth it.")
    costs: CostsConfig | None = Field(None, description="Prices; without them nothing is said of money.")
    registry: RegistryConfig = Field(description="Where the adapter goes.")
    stages: dict[StageName, StageLimits] = Field(
        default_factory=dict,
        description="Stage -> its retries and time limit, instead of the defaults.",
        json_schema_extra=NOT_IN_KEY,
    )
    folder: str = Field(
        ".",
        description="Folder that relative paths start from; the config file's own when read from a file.",
        json_schema_extra=NOT_IN_KEY,
    )

    @property
    def longest(self) -> int | None:
        """Tokens that a train row may have; None where nothing is trained."""
        return self.training.max_length if self.arms.trained else None

    @property
    def learned_context(self) -> RetrievalConfig | None:
        """What train rows are shown with, without what does not concern them; None where they stand alone."""
        if self.training.context == "none" or not self.arms.trained:
            return None
        return self.arms.retrieval.model_copy(update={"shots": None})

    @property
    def learned(self) -> tuple[str, str | None]:
        """What becomes of reasoning traces (base.thinking), and of rejected and unwanted answers."""
        return self.base.thinking, self.training.objective

    @property
    def rendered(self) -> tuple[int | None, RetrievalConfig | None, int, float]:
        """What rows are rendered and refused by: longest train row, what it learns, longest answer, share beyond it."""
        return self.longest, self.learned_context, self.arms.max_new_tokens, self.arms.longer_answers

    @model_validator(mode="after")
    def context_is_measured(self) -> RunConfig:
        """Refuse to train on retrieved passages where no arm shows any to the adapter."""
        if (
            self.training.context == "retrieval"
            and self.arms.trained
            and not any(arm.startswith("tuned_retrieval") for arm in self.arms.trained)
        ):
            raise ValueError(
                'training.context: "retrieval" fits the adapter to requests with retrieved passages, and only the arm '
                'tuned_retrieval asks so: add it to arms.trained, or set training.context to "none"'
            )
        return self

    @model_validator(mode="after")
    def replay_needs_texts(self) -> RunConfig:
        """Refuse training.replay where there are no neutral texts."""
        if self.training.replay and self.benchmark.neutral is None:
            raise ValueError(
                "training.replay: it mixes in texts of benchmark.neutral, which is null; name a file there, leave it "
                "out to use the shipped one, or set training.replay to 0"
            )
        return self

    @model_validator(mode="after")
    def classifier_needs_labels(self) -> RunConfig:
        """Leave the classifier out where answers are no labels; refuse it there if it was asked for."""
        if self.task.answer.format != "choice" and "classifier" in self.arms.untrained:
            if "untrained" in self.arms.model_fields_set:
                raise ValueError(
                    'arms.untrained: classifier needs task.answer.format "choice", not '
                    f'"{self.task.answer.format}"; leave it out'
                )
            others = tuple(arm for arm in self.arms.untrained if arm != "classifier")
            object.__setattr__(self, "arms", self.arms.model_copy(update={"untrained": others}))
        return self

    @model_validator(mode="after")
    def a_limit_of_cost_needs_prices(self) -> RunConfig:
        """Refuse decision.max_cost without prices."""
        if self.decision.max_cost is not None and self.costs is None:
            raise ValueError("decision.max_cost: nothing has a price; give prices in `costs`, or leave the limit out")
        return self

    @model_validator(mode="after")
    def teacher_is_an_endpoint(self) -> RunConfig:
        """Refuse a teacher that nobody can ask."""
        if self.data.teacher is not None and self.data.teacher not in self.arms.endpoints:
            known = ", ".join(self.arms.endpoints) or "there are none"
            raise ValueError(f"data.teacher: {self.data.teacher} is none of arms.endpoints ({known}); add it there")
        return self

    @model_validator(mode="after")
    def prices_have_a_currency(self) -> RunConfig:
        """Refuse prices of endpoints without `costs`, which says in which currency and for how many tokens they are."""
        if self.arms.prices and self.costs is None:
            raise ValueError(
                f"arms.endpoints.{next(iter(self.arms.prices))}: its prices have no currency; set costs, such as "
                "{currency: EUR, machine_hour: 2}"
            )
        return self

    @model_validator(mode="after")
    def shots_need_passages(self) -> RunConfig:
        """Refuse arms.retrieval.shots without a corpus, where the retrieved examples are all that is shown."""
        if self.arms.retrieval.shots is not None and self.data.corpus is None:
            raise ValueError(
                "arms.retrieval.shots: these examples go before passages, and there are none, as data.corpus is not "
                "set; leave it out: the retrieval arms show the arms.retrieval.top_k = "
                f"{self.arms.retrieval.top_k} nearest training examples"
            )
        return self
