"""What went wrong and what to do next, as data: what verdict.json, advice.json and the terminal show."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from schemas.findings.report import Report

Trend = Literal["rising", "flat", "unclear"]
ErrorKind = Literal[
    "cut off",
    "breaks the contract",
    "answer shown, but not used",
    "answer in the corpus, but not found",
    "answer nowhere in the corpus",
    "wrong content",
]

NextStep = Literal["use_untrained", "use_tuned", "fix_contract", "more_rows", "another_base", "more_groups_held_out"]


class CurvePoint(Report):
    """The tuned arm after learning from a share of the train groups."""

    share: float
    train_rows: int
    score: float
    low: float
    high: float


class Errors(Report):
    """One kind of wrong answers of an arm: its share of all answers with interval, and rows to look at."""

    kind: ErrorKind
    share: float
    low: float
    high: float
    rows: tuple[int, ...] = Field(description="Row ids of the first ones.")


class Recall(Report):
    """What retrieval found for the held-out rows, by the reference answers' own words."""

    top_k: int
    search: str = Field("bm25", description="How it searched: by words (bm25), by meaning (dense), or both (fused).")
    no_hit: float = Field(description="Share of the requests that nothing was found for.")
    in_corpus: float | None = Field(
        description="Share of the rows whose answer stands in the corpus, or is that of a train row where these are "
        "retrieved; None where that cannot be told."
    )
    recall: float | None = Field(description="Share of those rows whose answer stands in what was shown.")
    mrr: float | None = Field(description="Mean over those rows of 1 / its rank, from 1; 0 where it was not shown.")

    used: float | None = Field(None, description="Mean score of the rows whose answer stands in what was shown.")

    @property
    def in_words(self) -> str:
        """One line for people."""
        missed = f"nothing was found for {self.no_hit:.0%} of the requests"
        nothing = missed if self.no_hit else "something was found for every request"
        if self.recall is None or self.in_corpus is None:
            return nothing
        return (
            f"{self.in_corpus:.0%} of the reference answers stand in what is searched; of these, recall@{self.top_k} "
            f"({self.search}) is {self.recall:.0%} and MRR {self.mrr:.2f}; {nothing}"
        ) + ("" if self.used is None else f"; where the answer was shown, the score is {self.used:.3f}")


class Advice(Report):
    """One piece of advice, and the evidence for it."""

    advice: str
    next_step: NextStep
    trend: Trend | None = Field(None, description="From half of the train groups to all of them; None without a curve.")
    curve: tuple[CurvePoint, ...] = ()
    errors: tuple[Errors, ...] = ()
    arm: str = Field(description="The arm whose wrong answers are counted.")
    seconds_needed: float | None = Field(None, description="Training time of the next step, from this run's own.")

    @property
    def trend_in_words(self) -> str:
        """Whether more train rows would help; nothing without a curve."""
        return {"rising": "still rising", "flat": "flat", "unclear": "rising or flat cannot be told", None: ""}[
            self.trend
        ]
