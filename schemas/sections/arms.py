"""Which arms are measured, and what each shows to the model."""

from __future__ import annotations

from typing import Annotated, Literal, get_args

from pydantic import Field, StringConstraints, field_validator, model_validator

from schemas.languages import IndexLanguage
from schemas.sections.endpoints import EndpointConfig
from schemas.sections.section import NOT_IN_KEY, Section

UntrainedArm = Literal[
    "classifier", "prompt", "prompt+grammar", "few_shot", "few_shot+grammar", "retrieval", "retrieval+grammar"
]
TrainedArm = Literal["tuned", "tuned+grammar", "tuned_retrieval", "tuned_retrieval+grammar"]
GRAMMAR = "+grammar"
SearchKind = Literal["bm25", "dense", "fused"]
EndpointName = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_-]*$", max_length=24)]


class FewShotConfig(Section):
    """The few-shot arm: the same examples before every request."""

    shots: int = Field(8, ge=1, le=64, description="Training examples shown before the request.")


class RetrievalConfig(Section):
    """The retrieval arms: what is searched for in the corpus, or in training examples where there is none."""

    top_k: int = Field(4, ge=1, le=32, description="Passages or examples shown before the request.")
    passage_words: int = Field(
        120, ge=20, le=2000, description="Documents are cut into passages of about this many words."
    )
    shots: int | None = Field(
        None,
        ge=0,
        le=64,
        description="Training examples shown before the passages of data.corpus, each below its own passages: when "
        "left out, the first 4 of those that few_shot shows; 0 shows passages only. The arm tuned_retrieval never "
        "shows any: it was trained on rows without examples, so they would cost tokens and make its prompts less like "
        "those rows. Without a corpus the retrieved examples are the ones shown.",
    )
    language: Literal["auto"] | IndexLanguage = Field(
        "auto",
        description="Language whose word stems are searched. auto: the main language of data.corpus, or of the "
        "requests where there is none. characters: pieces of a few characters, for languages without a stemmer here "
        "(Chinese, Japanese, Thai, ...) and for several languages at once; auto chooses it for them. none: words as "
        "they are.",
    )

    search: SearchKind = Field(
        "bm25",
        description="How texts are found. bm25: by their words. dense: by their meaning, as vectors of `encoder`. "
        "fused: both lists merged by reciprocal rank.",
    )
    encoder: str | None = Field(
        None,
        min_length=1,
        description="Sentence encoder for dense and fused: a folder or package://NAME with config.json, *.safetensors "
        "and tokenizer.json. A transformer whose token vectors are averaged (all-MiniLM-L6-v2), or a static model of "
        "model2vec, which is some hundred times faster.",
        json_schema_extra=NOT_IN_KEY,
    )

    @model_validator(mode="after")
    def meaning_needs_an_encoder(self) -> RetrievalConfig:
        """Refuse a search by meaning without an encoder, and an encoder that nothing uses."""
        if (self.search == "bm25") != (self.encoder is None):
            raise ValueError(
                'search "dense" and "fused" need `encoder`, a folder or package://NAME; "bm25" needs none: set both or '
                "leave both out"
            )
        return self

    def index_language(self, found: str) -> str:
        """Return what the index is built for; `found` is the data's own (DataArtifact.language)."""
        return found if self.language == "auto" else self.language


class ArmsConfig(Section):
    """Which arms are measured, and how long an answer may be."""

    untrained: tuple[UntrainedArm, ...] = Field(
        ("classifier", "prompt", "few_shot", "retrieval"),
        min_length=1,
        description="Arms measured before any training; classifier (TF-IDF and logistic regression, no language model) "
        "where the answer is a choice. NAME+grammar: the same arm with every token held to the grammar of task.answer "
        "(json, choice, or text with a pattern), so that an answer that ends meets the contract.",
    )
    trained: tuple[TrainedArm, ...] = Field(
        ("tuned", "tuned_retrieval"),
        description="Arms measured with the adapter; none means that nothing is "
        "trained. NAME+grammar: as in untrained; a version registered of it is served with the grammar.",
    )
    few_shot: FewShotConfig = Field(default_factory=FewShotConfig, description="The few-shot arm.")
    retrieval: RetrievalConfig = Field(default_factory=RetrievalConfig, description="The retrieval arms.")
    max_new_tokens: int = Field(
        128, ge=1, le=8192, description="Tokens after which an answer is cut off; such answers are counted."
    )
    longer_answers: float = Field(
        0.02,
        ge=0,
        le=1,
        description="Share of the held-out answers that may need more than max_new_tokens, so that no arm gives them; "
        "above it the rows are refused.",
    )
    limit: int | None = Field(None, ge=1, description="Measure on the first N held-out rows only (for trying out).")
    endpoints: dict[EndpointName, EndpointConfig] = Field(
        default_factory=dict,
        max_length=8,
        description="Name -> a model behind an OpenAI-compatible server, such as the one in use today. It answers the "
        "held-out rows too; the verdict does not depend on it, but says whether the arm that it names is as good "
        "within decision.worth, and what that saves.",
    )

    @field_validator("endpoints")
    @classmethod
    def names_are_free(cls, endpoints: dict[str, EndpointConfig]) -> dict[str, EndpointConfig]:
        """Refuse an endpoint with the name of an arm."""
        taken = sorted({*get_args(UntrainedArm), *get_args(TrainedArm), "champion"} & endpoints.keys())
        if taken:
            raise ValueError(f"has a name that an arm has: {', '.join(taken)}; choose another")
        return endpoints

    @property
    def with_grammar(self) -> tuple[str, ...]:
        """The arms that are held to a grammar."""
        return tuple(arm for arm in (*self.untrained, *self.trained) if arm.endswith(GRAMMAR))

    @property
    def prices(self) -> dict[str, tuple[float, float]]:
        """Endpoint -> prices of the tokens that it reads and writes, where they have any."""
        return {name: endpoint.prices for name, endpoint in self.endpoints.items() if endpoint.prices is not None}
