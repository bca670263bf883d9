"""One config file is one whole run: frozen models, unknown keys refused, every field with a description and bounds."""

from __future__ import annotations

from typing import Annotated, Literal, get_args

from pydantic import Field, model_validator

from schemas.addresses import BELONG, faults_of
from schemas.arms_config import ArmsConfig
from schemas.section import NOT_IN_KEY, Section
from schemas.task_config import TaskConfig

Action = Literal["refuse", "drop", "note", "mask"]
Personal = Literal["secret", "card_number", "iban", "email_address", "phone_number"]
# Reasons whose rows cannot be kept: there is no row, or no answer to learn.
Unreadable = Literal[
    "malformed_row",
    "wrong_encoding",
    "missing_field",
    "not_text",
    "wrong_roles",
    "empty_turn",
    "missing_group",
    "empty_prompt",
    "empty_answer",
]
Doubtful = Literal[
    "control_characters",
    "answer_too_long",
    "answer_breaks_pattern",
    "answer_not_a_label",
    "answer_not_json",
    "answer_breaks_schema",
    "answer_does_not_run",
    "answer_gives_no_rows",
    "exact_duplicate",
    "conflicting_answers",
    "in_held_out",
    "near_held_out",
    "near_duplicate",
    "label_doubt",
    "own_system_message",
    "placeholder_input",
    "only_an_address",
    "answer_repeats_prompt",
    "speaks_as_ai",
    "refusal",
    "answer_cut_off",
    "damaged_encoding",
    "extra_key",
    "duplicate_id",
    "other_language",
    "own_check",
]


class DataConfig(Section):
    """Where the rows are and what is demanded of them."""

    source: str = Field(
        min_length=1,
        description="Files (path or glob relative to the config file: jsonl, csv, parquet), a database (SQLAlchemy URL "
        "without password, with `query`), "
        "or a data set on the Hugging Face hub (hub://OWNER/NAME, with `revision`).",
        json_schema_extra=NOT_IN_KEY,
    )
    query: str | None = Field(
        None,
        min_length=1,
        description="SELECT that gives the rows, for a database. Its answer is fetched whenever a run or plan starts: "
        "only "
        "the rows tell whether they changed.",
        json_schema_extra=NOT_IN_KEY,
    )
    password: str | None = Field(
        None,
        description="Where the database's password is kept: env:NAME (environment variable) or prefect:NAME (Secret "
        "block). "
        "Never the password itself.",
        json_schema_extra=NOT_IN_KEY,
    )
    revision: str | None = Field(
        None,
        description="Commit of the data set on the hub, 40 hex digits; needed for one.",
        json_schema_extra=NOT_IN_KEY,
    )
    split: str | None = Field(
        None,
        min_length=1,
        description="Split of the data set on the hub; train when left out.",
        json_schema_extra=NOT_IN_KEY,
    )
    subset: str | None = Field(
        None,
        min_length=1,
        description="Configuration of the data set on the hub, where it has several.",
        json_schema_extra=NOT_IN_KEY,
    )
    layout: Literal["detected", "prompt_completion", "messages", "alpaca", "sharegpt"] = Field(
        "detected",
        description="How a row holds its request and answer; detected from the first rows of each file when left out.",
    )
    prompt: str = Field("prompt", min_length=1, description="Column that holds the request (layout prompt_completion).")
    completion: str = Field(
        "completion", min_length=1, description="Column that holds the answer wanted (layout prompt_completion)."
    )
    group: str | None = Field(
        None,
        description="Column; rows of one group never stand on both sides of the split. Without it every row is its own "
        "group.",
    )
    id: str | None = Field(
        None, min_length=1, description="Column that names a row; a row whose id an earlier one has is refused."
    )
    held_out: float = Field(0.2, gt=0, lt=1, description="Share of the groups that is kept for measuring.")
    refuse_above: float = Field(
        0.01, ge=0, le=1, description="Share of refused rows above which the whole set is refused."
    )
    near_duplicate: float = Field(
        0.8,
        ge=0.5,
        le=1,
        description="Requests that share this much of their three-word runs (Jaccard) are near-duplicates; template "
        "text is "
        "left out.",
    )
    checks: dict[Unreadable | Doubtful | Personal, Action] = Field(
        default_factory=dict,
        description="Reason -> refuse (taken out, counted against refuse_above), drop (taken out, not counted) or note "
        "(kept, listed), instead of its default. "
        "Personal data (secret, card_number, iban, email_address, phone_number) may be set to mask: [EMAIL] stands "
        "in its place, in train and held-out rows.",
    )
    checks_file: str | None = Field(
        None,
        min_length=1,
        description="Checks of your own, as a pandera schema in YAML, on prompt, completion and any other column of "
        "the records; relative to the config file.",
        json_schema_extra=NOT_IN_KEY,
    )
    corpus: str | None = Field(
        None,
        description="Glob of documents (md, txt, jsonl) for the retrieval arm; without one it retrieves training "
        "examples.",
        json_schema_extra=NOT_IN_KEY,
    )

    @model_validator(mode="after")
    def source_is_whole(self) -> DataConfig:
        """Refuse a source that lacks a setting, a setting that goes with another kind of source, and a password where
        it would be seen.
        """
        faults = faults_of(self.source, {name: getattr(self, name) for name in BELONG})
        if faults:
            raise ValueError("; ".join(faults))
        return self

    @model_validator(mode="after")
    def unreadable_rows_are_not_kept(self) -> DataConfig:
        """Refuse to note a row that cannot be used at all."""
        kept = sorted(
            reason for reason, action in self.checks.items() if action == "note" and reason in get_args(Unreadable)
        )
        if kept:
            raise ValueError(
                f'checks: {", ".join(kept)} cannot be "note", as such a row cannot be used; set "drop" to have it '
                "taken out without being counted"
            )
        whole = sorted(
            reason for reason, action in self.checks.items() if action == "mask" and reason not in get_args(Personal)
        )
        if whole:
            raise ValueError(f'checks: {", ".join(whole)} cannot be "mask"; only {", ".join(get_args(Personal))} can')
        return self


class BaseConfig(Section):
    """The base model: always pinned, always safetensors inside, never with remote code."""

    model: str = Field(
        min_length=1,
        description="package://NAME (GGUF inside an installed package), a folder, or a hub id with `revision`.",
        json_schema_extra=NOT_IN_KEY,
    )
    revision: str | None = Field(None, description="Commit of a hub id; needed for one.", json_schema_extra=NOT_IN_KEY)


class TrainingConfig(Section):
    """How the adapter is fitted. QLoRA by default; full fine-tuning is the exception."""

    method: Literal["qlora", "lora", "full"] = Field(
        "qlora", description="qlora: 4-bit base, smallest memory; lora: 16-bit base; full: every weight."
    )
    adapter: Literal["auto", "lora", "dora", "rslora", "qera"] = Field(
        "auto",
        description="Kind of adapter (qlora, lora). auto: qera with qlora, lora with lora. qera: starts from the output "
        "error that 4 bits make on the first train rows, so that a 4-bit base learns like a 16-bit one; qlora only. "
        "lora: starts at zero. rslora: scaled by alpha / root of rank, so that high ranks learn as fast; with the "
        "default alpha root-of-rank times as strong as lora, so lower the rate. dora: also trains each output's length; "
        "often better at a low rank, slower.",
    )
    targets: tuple[Annotated[str, Field(min_length=1)], ...] | None = Field(
        None,
        min_length=1,
        description="Ends of the names of the layers that get an adapter, such as q_proj; all linear layers when left "
        "out, which learns best.",
    )
    rank: int = Field(16, ge=1, le=1024, description="LoRA rank: higher learns more and forgets more, at more memory.")
    alpha: float | None = Field(None, gt=0, description="LoRA scale; 2 x rank when left out.")
    dropout: float = Field(0.0, ge=0, lt=1, description="Dropout on the inputs of the LoRA adapters.")
    learning_rate: float = Field(
        2e-4,
        gt=0,
        le=1,
        description="Peak rate. LoRA needs about ten times the rate of full fine-tuning; a small model even more.",
    )
    optimizer: Literal["adamw", "adamw_8bit", "paged_adamw", "paged_adamw_8bit"] = Field(
        "adamw",
        description="8bit: states in a quarter of the memory; paged: states move to main memory when the card is full. "
        "Both need a CUDA card.",
    )
    gradient_checkpointing: Literal["auto", "always", "never"] = Field(
        "auto",
        description="Compute layers again in the backward pass instead of keeping them: about a third slower, a "
        "fraction of the memory, equal numbers. auto: only where the longest row would not fit otherwise.",
        json_schema_extra=NOT_IN_KEY,
    )
    epochs: float = Field(3, gt=0, le=1000, description="Passes over the train rows.")
    tokens_per_step: int = Field(
        2048, ge=16, le=4_000_000, description="Tokens of one optimiser step: the effective batch."
    )
    max_length: int = Field(
        1024, ge=16, le=1_000_000, description="A row with more tokens than this is refused by name, never cut."
    )
    validation: float = Field(
        0.1, ge=0, lt=0.5, description="Share of the train groups that picks the best adapter; 0 keeps the last."
    )
    patience: int = Field(
        2, ge=1, le=1000, description="Epochs without a better validation loss before training stops."
    )
    where: str | None = Field(
        None,
        description="Deployment such as train/gpu that trains on its own worker, through a shared store; here when "
        "left out.",
        json_schema_extra=NOT_IN_KEY,
    )
    without_worker: Literal["wait", "fail"] = Field(
        "wait",
        description="What to do when no healthy worker serves that deployment's pool.",
        json_schema_extra=NOT_IN_KEY,
    )
    devices: int = Field(
        1,
        ge=1,
        le=64,
        description="Processes that train together, one a card; every step has the rows that it has on one. On a CPU "
        "they share its cores.",
        json_schema_extra=NOT_IN_KEY,
    )
    checkpoint_minutes: float = Field(
        5,
        gt=0,
        le=1440,
        description="Minutes between checkpoints; a killed run resumes from the last one.",
        json_schema_extra=NOT_IN_KEY,
    )

    @property
    def adapter_kind(self) -> str:
        """The kind of adapter: what "auto" stands for with this method, else `adapter`."""
        return ("qera" if self.method == "qlora" else "lora") if self.adapter == "auto" else self.adapter

    @model_validator(mode="after")
    def adapter_fits_method(self) -> TrainingConfig:
        """Refuse a kind of adapter, or a choice of layers, that the method cannot have."""
        if self.method == "full" and (self.adapter not in ("auto", "lora") or self.targets is not None):
            raise ValueError(
                'adapter and targets choose adapters, and method "full" has none: leave both out, or set method '
                '"qlora" or "lora"'
            )
        if self.method != "qlora" and self.adapter == "qera":
            raise ValueError(
                f'adapter "qera" corrects the error of a 4-bit base, and method "{self.method}" has none: set method '
                '"qlora" or adapter "lora"'
            )
        return self


class BenchmarkConfig(Section):
    """What the adapter must not have forgotten."""

    tasks: tuple[str, ...] = Field(
        ("general_mini",),
        description="lm-eval tasks: a folder or file under configs/benchmarks, a path, or a built-in name.",
    )
    margin: float = Field(
        0.05,
        ge=0,
        le=1,
        description="Accuracy that may be lost on a task; the gate refuses an adapter that surely lost more.",
    )
    limit: int | None = Field(None, ge=1, description="Use the first N items of each task only (for trying out).")


class DecisionConfig(Section):
    """When an arm is good enough, and what a gain has to be worth."""

    target: float = Field(0.9, ge=0, le=1, description="Mean score at which an arm is good enough.")
    worth: float = Field(
        0.03, ge=0, le=1, description="Gain over the best untrained arm below which tuning is not worth its keep."
    )
    confidence: float = Field(0.95, gt=0.5, lt=1, description="Confidence of every interval.")


class RegistryConfig(Section):
    """Where the adapter goes when it has earned it."""

    model: str = Field(
        min_length=1,
        max_length=200,
        pattern=r"^[A-Za-z0-9_. -]+$",
        description="Name of the registered model in MLflow.",
    )


StageName = Literal[
    "validate_data",
    "fetch_base",
    "check_rendering",
    "score_arm",
    "check_leakage",
    "write_data_report",
    "gather_benchmark",
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
        None, gt=0, description="A try that takes longer fails; what it saved on its workdir is there for the next run."
    )


class RunConfig(Section):
    """One whole run: the task, its rows, the base, the arms, the training, the benchmark, the decision, the
    registry.
    """

    name: str = Field(
        pattern=r"^[a-z0-9][a-z0-9-]*$",
        max_length=60,
        description="Lower-case name of the run; also the MLflow experiment.",
    )
    seed: int = Field(7, ge=0, le=2**31 - 1, description="Seeds the split, the shots, the training and the bootstrap.")
    task: TaskConfig = Field(description="What is asked and how it is scored.")
    data: DataConfig = Field(description="The rows.")
    base: BaseConfig = Field(description="The base model.")
    arms: ArmsConfig = Field(default_factory=ArmsConfig, description="What is measured.")
    training: TrainingConfig = Field(default_factory=TrainingConfig, description="How the adapter is fitted.")
    benchmark: BenchmarkConfig = Field(default_factory=BenchmarkConfig, description="What must not be forgotten.")
    decision: DecisionConfig = Field(default_factory=DecisionConfig, description="When it is worth it.")
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

    @model_validator(mode="after")
    def shots_stand_beside_passages(self) -> RunConfig:
        """Refuse examples beside passages where there are no passages: there the retrieved examples are all that is
        shown.
        """
        if self.arms.retrieval.shots is not None and self.data.corpus is None:
            raise ValueError(
                "arms.retrieval.shots: there are no passages to show examples beside, as data.corpus is not set; "
                "leave it out: "
                f"the retrieval arms show the arms.retrieval.top_k = {self.arms.retrieval.top_k} nearest training "
                "examples"
            )
        return self
