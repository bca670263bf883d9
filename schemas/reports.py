"""The verdict as data: what verdict.json, the terminal table, the Prefect artifact, MLflow and report.html all show."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from pydantic import Field

from schemas.findings.advice import Errors, Recall
from schemas.findings.costs import CostReport
from schemas.findings.endpoints import EndpointReport
from schemas.findings.gate import GateReport
from schemas.findings.report import Report
from schemas.findings.seeds import SeedReport

VerdictName = Literal[
    "classifier",
    "prompt",
    "prompt+grammar",
    "few_shot",
    "few_shot+grammar",
    "retrieval",
    "retrieval+grammar",
    "finetune",
    "finetune+grammar",
    "finetune+retrieval",
    "finetune+retrieval+grammar",
    "not_worth_tuning",
    "none_good_enough",
    "undecided",
]
Standing = Literal["good", "unclear", "short"]
GainStanding = Literal["worth_it", "unclear", "not_worth_it"]


class ArmReport(Report):
    """One arm: mean score with its interval, what it costs, and how it compares with the other arms, row by row."""

    arm: str
    rows: int
    groups: int = Field(description="Groups of rows that the intervals rest on.")
    score: float
    low: float
    high: float
    valid_rate: float
    breaks_contract: bool = Field(
        False, description="The share of valid answers is below `decision.valid` at confidence: not good enough."
    )
    stopped_rate: float
    prompt_tokens: float
    output_tokens: float
    standing: Standing = Field(
        description="Against the target, by the interval of the score: met, inconclusive (the interval contains it), "
        "missed. Without a target the same as `keeps_up`."
    )
    gain: float | None = Field(None, description="Of a tuned arm over the best untrained arm.")
    gain_low: float | None = None
    gain_high: float | None = None
    gain_standing: GainStanding | None = Field(None, description="The gain against `worth`.")
    gain_over: str | None = Field(None, description="The best untrained arm.")
    won: int | None = Field(None, description="Rows on which it scores more than that arm.")
    lost: int | None = Field(None, description="Rows on which it scores less.")
    by_chance: float | None = Field(
        None,
        description="How often chance alone would make won and lost rows so uneven: sign flips over groups, exact and "
        "two-sided; None where there are too many rows to count it out.",
    )
    rival: str | None = Field(
        None,
        description="The arm that it is hardest to keep up with, of those that it could be used in place of: for an "
        "untrained arm, the untrained ones and those tuned ones that are not worth it; for a tuned arm, the tuned "
        "ones. None where there is no other.",
    )
    lag: float | None = Field(None, description="This arm minus its rival.")
    lag_low: float | None = None
    lag_high: float | None = None
    answers: str = Field("", description="Digest of the artifact that holds its answers, row by row.")
    keeps_up: Standing = Field(
        "good", description="Not worse by `worth` than its rival, and so than any, at confidence."
    )
    beyond: str = Field("", description="The limit of cost or time that it is beyond, in words: not good enough.")
    retrieved: Recall | None = Field(None, description="What retrieval found; None for an arm without.")
    errors: tuple[Errors, ...] = Field((), description="Kinds of answers that are not wholly right, each in one kind.")
    looks: int = Field(
        1,
        description="Different adapters, or for an untrained arm ways to ask, that were measured on these held-out "
        "rows so far, this one included.",
    )
    reading: str = Field("strict", description="The reading of answers that the score and the gain are about.")
    strict_score: float | None = Field(None, description="With answers read as a program would.")
    lenient_score: float | None = Field(None, description="With answers read past the words around them.")
    other_gain: float | None = Field(
        None, description="The gain of a tuned arm over the best untrained one with all answers read the other way."
    )
    other_gain_low: float | None = None
    other_gain_high: float | None = None
    also: dict[str, float] = Field({}, description="Metrics that do not decide, and macro_f1 of labels.")


class ChampionReport(Report):
    """The champion on today's held-out rows, without those it was trained on; a verdict never names it."""

    version: str
    arm: str = Field(description="The arm it was registered as: tuned or tuned_retrieval, with its own settings.")
    rows: int = Field(description="Held-out rows that are compared.")
    groups: int = Field(description="Groups of rows that the intervals rest on.")
    left_out: int = Field(description="Held-out rows that it was trained on, or may have been.")
    score: float
    low: float
    high: float
    valid_rate: float
    prompt_tokens: float
    output_tokens: float
    standing: Standing | None = Field(description="Against today's target; None where there is none.")
    untrained: str = Field(description="The best untrained arm on these rows.")
    lead: float = Field(description="Champion minus that arm, paired row by row.")
    lead_low: float
    lead_high: float
    challenger: str | None = Field(
        None, description="The tuned arm of today's adapter; None where nothing was trained."
    )
    challenger_score: float | None = None
    difference: float | None = Field(None, description="Challenger minus champion, paired row by row.")
    difference_low: float | None = None
    difference_high: float | None = None
    won: int | None = Field(None, description="Rows on which the challenger scores more than the champion.")
    lost: int | None = Field(None, description="Rows on which it scores less.")
    outcome: Literal["better", "not_worse", "unclear", "worse", "worse_on_a_slice", "no_challenger"] = Field(
        description="The challenger against the champion; worse_on_a_slice: better or not worse on all rows, but "
        "worse on those of a slice."
    )
    reasons: tuple[str, ...]


class Doubt(Report):
    """A comparison that is missing: what cannot be told at confidence, and what it would take."""

    arm: str
    about: Literal["target", "gain", "rivals"] = Field(
        description="Whether the arm meets the target, whether its gain is worth it, or, without a target, whether it "
        "keeps up with the other untrained arms."
    )
    question: str = Field(description='What is not known, such as "whether tuned adds 0.03 to the best untrained arm".')
    groups_needed: int | None = Field(
        description="Groups that would tell in 8 of 10 cases if the numbers stay as they are; None where they lie on "
        "the line."
    )
    rows_needed: int | None = Field(description="About the held-out rows that so many groups have.")
    in_words: str


class ScoreWithoutTwins(Report):
    """An arm's score, with its interval, on the held-out rows that no train row (nearly) repeats."""

    arm: str
    rows: int
    groups: int
    score: float
    low: float
    high: float


class SliceArm(Report):
    """One arm's mean score on a slice, with its interval."""

    arm: str
    score: float
    low: float
    high: float


class SliceReport(Report):
    """The held-out rows with one value of a column of `decision.slices`."""

    column: str
    value: str
    rows: int
    groups: int = Field(description="Groups of rows that the intervals rest on; below 8 nothing is claimed.")
    arms: tuple[SliceArm, ...]
    gain: float | None = Field(
        None, description="Tuned arm minus best untrained arm (Verdict.compared); None where nothing was trained."
    )
    gain_low: float | None = None
    gain_high: float | None = None
    has_lost: bool = Field(
        False, description="The gain is below 0 at confidence, corrected by Holm over the slices with enough groups."
    )


class Verdict(Report):
    """The answer to "is this worth tuning, and did the tuning earn its place?", with every number behind it."""

    schema_version: Literal[1] = Field(1, description="Grows when fields change their meaning.")
    verdict: VerdictName
    arm: str = Field(
        description="The arm that the verdict and its headline are about: the winner, the untrained arm to use, or the "
        "one to use meanwhile."
    )
    headline: str
    recommendation: str = Field(description="What to do now, in plain words.")
    regret: float = Field(
        description="Score that using `arm` loses on average because another arm may be better; tuning counts as "
        "costing `worth`."
    )
    reasons: tuple[str, ...]
    winnable: str = Field("", description="What tuning and what retrieval could still win, from the wrong answers.")
    caveats: tuple[str, ...] = Field((), description="What may make scores look better than they are: leaks left.")
    without_twins: tuple[ScoreWithoutTwins, ...] = Field(
        (),
        description="Where held-out rows with a twin in train were kept: the scores without these, of the arm that the "
        "verdict is about and of the best untrained arm.",
    )
    doubts: tuple[Doubt, ...] = Field(
        (), description="For `undecided`: the comparisons that are missing, the one that would decide first."
    )
    target: float | None
    worth: float
    valid: float | None = Field(None, description="The share of valid answers that was asked for.")
    confidence: float
    rows: int
    groups: int
    arms: tuple[ArmReport, ...]
    gate: GateReport | None
    costs: CostReport | None = Field(None, description="What arms take; None where neither prices nor limits are set.")
    endpoints: tuple[EndpointReport, ...] = Field(
        (), description="Models behind a server, on the same rows; the verdict does not depend on them."
    )
    seeds: SeedReport | None = Field(None, description="Trainings with other seeds; None where there was one.")
    is_sufficient: bool = Field(description="An untrained arm meets the target with confidence: no training is needed.")
    is_refused_by_gate: bool = Field(
        description="A tuned arm earned its place, but the adapter lost more on a benchmark than the margin allows, at "
        "the verdict's confidence."
    )
    is_held_by_gate: bool = Field(
        False,
        description="A tuned arm earned its place, but the benchmark does not show that the adapter kept what it knew: "
        "a challenger, never a champion.",
    )
    promotes: bool = Field(
        description="A tuned arm earned its place and the gate is not shut: the adapter is registered, but as champion "
        "only when the verdict also names it and the gate is open."
    )
    tuned_arm: str | None = Field(None, description="The tuned arm that earned its place.")
    held_back: str = Field(
        "", description="Why the adapter is registered as challenger and never becomes champion; empty: nothing does."
    )
    slices: tuple[SliceReport, ...] = ()
    data: str = Field("", description="Digest of the rows.")
    champion: ChampionReport | None = Field(
        None, description="The registry's champion on the same rows; the verdict does not depend on it."
    )
    champion_note: str = Field(
        "", description="Why no champion was measured; empty where one was, or where nobody looked."
    )

    @property
    def named(self) -> ArmReport:
        """The arm that the verdict is about."""
        return next(one for one in self.arms if one.arm == self.arm)

    @property
    def retrieval_in_words(self) -> str:
        """What the retrieval arm found; "" where none was measured."""
        return next((f"{one.arm}: {one.retrieved.in_words}." for one in self.arms if one.retrieved), "")

    @property
    def compared(self) -> tuple[str, str] | None:
        """The best untrained arm and the tuned arm that earned its place, else the best tuned one; None without one."""
        tuned = [one for one in self.arms if one.gain_over]
        after = next((one for one in tuned if one.arm == self.tuned_arm), None) or max(
            tuned, key=lambda one: one.score, default=None
        )
        return (str(after.gain_over), after.arm) if after else None

    @property
    def gain_note(self) -> str:
        """What the gains are taken over; see `gain_note`."""
        return gain_note(self.arms)

    @property
    def sample(self) -> str:
        """Rows and groups in words, such as "95 rows in 15 groups"."""
        return f"{self.rows} rows in {self.groups} groups"


def gain_note(arms: Sequence[ArmReport]) -> str:
    """Return why a gain is larger than the difference of two scores: what breaks the contract counts as wrong where no
    untrained arm's answers can be used; "" where it does not.
    """
    over = {one.gain_over for one in arms}
    rival = next((one for one in arms if one.arm in over and one.breaks_contract), None)
    if rival is None:
        return ""
    return (
        f"Gains are over {rival.arm} with its answers that break the contract ({1 - rival.valid_rate:.0%}) counted as "
        "wrong, as no untrained arm's answers can be used as they are."
    )
