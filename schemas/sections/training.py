"""How the adapter is fitted, and where."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from schemas.sections.section import NOT_IN_KEY, Section


class TrainingConfig(Section):
    """How the adapter is fitted. QLoRA by default; full fine-tuning is the exception."""

    method: Literal["qlora", "lora", "full"] = Field(
        "qlora", description="qlora: 4-bit base, smallest memory; lora: 16-bit base; full: every weight."
    )
    objective: Literal["sft", "dpo", "orpo", "kto"] | None = Field(
        None,
        description="What is learned from rows. sft: their answers; of rows with a chosen and a rejected answer the "
        "chosen one. dpo, orpo: chosen answers rather than the rejected ones of the same rows. kto: wanted answers "
        "rather than unwanted ones, from pairs or from rows with a label true or false. Left out: sft, and rows with "
        "rejected or unwanted answers are refused.",
    )
    beta: float = Field(
        0.1,
        gt=0,
        le=10,
        description="dpo, kto: how closely the model stays to what it was at the start, closer with a larger beta. "
        "orpo: how much the rejected answer counts beside the chosen one.",
    )
    adapter: Literal["auto", "lora", "dora", "rslora", "qera"] = Field(
        "auto",
        description="Kind of adapter (qlora, lora). auto: qera with qlora, lora with lora. qera: starts from the "
        "output error that 4 bits make on the first train rows, so that a 4-bit base learns like a 16-bit one; qlora "
        "only. lora: starts at zero. rslora: scaled by alpha / root of rank, so that high ranks learn as fast; with "
        "the default alpha root-of-rank times as strong as lora, so lower the rate. dora: also trains each "
        "output's length; often better at a low rank, slower.",
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
    context: Literal["none", "retrieval"] = Field(
        "none",
        description="What train rows show. retrieval: each row shows what arms.retrieval finds for it, right and wrong "
        "passages as they come, never rows of its own group, so that tuned_retrieval is asked as it has learned (and "
        "tuned is not). none: the request alone. Rows get longer: see max_length.",
    )
    validation: float = Field(
        0.1, ge=0, lt=0.5, description="Share of the train groups that picks the best adapter; 0 keeps the last."
    )
    replay: float = Field(
        0.0,
        ge=0,
        le=0.5,
        description="Share of each epoch's examples that neutral texts take the place of, so that less is forgotten; "
        "the steps stay as many. They are those texts of benchmark.neutral that are set aside and never measured, "
        "learned whole. They share no prompt with the rows, so a common prompt is computed anew for every row.",
    )
    patience: int = Field(
        2, ge=1, le=1000, description="Epochs without a better validation loss before training stops."
    )
    seeds: int = Field(
        1,
        ge=1,
        le=20,
        description="Trainings with different seeds. The one with the median validation loss is judged; the others say "
        "how much of its gain is luck of the seed.",
        json_schema_extra=NOT_IN_KEY,
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
    def compares_answers(self) -> bool:
        """Whether the objective compares wanted answers with others."""
        return self.objective not in (None, "sft")

    @model_validator(mode="after")
    def objective_fits(self) -> TrainingConfig:
        """Refuse to mix what an objective that compares answers cannot read, and a beta that nothing reads."""
        if self.compares_answers and (self.replay or self.dropout or self.context != "none"):
            raise ValueError(
                f'objective "{self.objective}" compares answers, and goes with no replay, dropout or context: leave '
                'them out, or set objective "sft"'
            )
        if not self.compares_answers and self.beta != TrainingConfig.model_fields["beta"].default:
            raise ValueError("beta is read by objective dpo, orpo and kto only; name one, or leave beta out")
        return self

    @property
    def adapter_kind(self) -> str:
        """The kind of adapter: what "auto" stands for with this method, else `adapter`."""
        return ("qera" if self.method == "qlora" else "lora") if self.adapter == "auto" else self.adapter

    @model_validator(mode="after")
    def seeds_are_trained_here_and_can_be_ranked(self) -> TrainingConfig:
        """Refuse several seeds on another machine, or without a validation loss that chooses among them."""
        if self.seeds > 1 and self.where is not None:
            raise ValueError("seeds above 1 are trained on this machine: leave training.where out, or set seeds to 1")
        if self.seeds > 1 and self.validation == 0:
            raise ValueError("seeds above 1 are ranked by their validation loss: set training.validation above 0")
        return self

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
