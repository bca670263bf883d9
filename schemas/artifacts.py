"""What stages hand to each other: a digest and a few facts, never a path and never the bytes themselves.

An artifact with an empty digest is not sealed yet: a stage returns it, and the stage decorator seals the stage's output
folder and fills the digest in. Only the digest enters the key of a later stage.
"""

from __future__ import annotations

from typing import ClassVar

from pydantic import BaseModel, ConfigDict, Field

from schemas.findings.advice import Recall
from schemas.findings.loss import BenchmarkTask, NeutralLoss


class Artifact(BaseModel):
    """Sealed files, named by their digest."""

    model_config = ConfigDict(frozen=True, extra="forbid", protected_namespaces=())
    kind: ClassVar[str] = "artifact"
    digest: str = Field("", description="sha256 over the names and digests of the sealed files; empty before sealing.")


class ModelArtifact(Artifact):
    """A base model: config.json, model*.safetensors, the tokenizer's files, chat_template.jinja."""

    kind: ClassVar[str] = "model"
    name: str
    revision: str | None = None
    parameters: int
    template_digest: str


class DataArtifact(Artifact):
    """Checked and split rows: train, held_out, refused, notes, tied and twins.parquet, report.json; corpus.parquet and
    answer.* when the task has them.

    Columns of the row files: row_id (int, the row's number in the source, from 1), history (list of str: requests and
    answers before the prompt, oldest first), prompt, completion, group (all str). Near-duplicates have one group;
    tied.parquet has row_id and the own group of each row that has another's. twins.parquet has pairs of a held-out and
    a train row that are near-duplicates all the same: held_out, train (row ids), similarity (0 to 1, null where other
    rows link the two). Columns of
    corpus.parquet: document, text, metadata (str, a JSON object). Columns
    of refused.parquet (rows taken out, one line each) and notes.parquet
    (rows kept): row_id, file, line, reason, detail, action; of refused.parquet also mend (what the row's owner can do)
    and the beginning of prompt and completion, with personal data and secrets masked.
    """

    kind: ClassVar[str] = "data"
    train_rows: int
    held_out_rows: int
    refused_rows: int
    reasons: dict[str, int]
    documents: int
    teacher: str = Field("", description="Endpoint that answered rows without an answer; empty: nobody did.")
    taught_rows: int = Field(0, description="Train rows whose answer is the teacher's (taught.parquet has row_id).")
    taught_held_out: int = Field(0, description="Held-out rows whose answer is the teacher's.")
    language: str = Field(
        "en",
        description="What a search index over the documents, or over the requests where there are none, is built for: "
        'a language with a stemmer, "characters" or "none" (tasks.inference.prompts.search).',
    )


class LabelsArtifact(Artifact):
    """A teacher's answers to the rows without one: labels.parquet (row_id, answer, null where it is not kept, and why
    not) and labels.jsonl for people.
    """

    kind: ClassVar[str] = "labels"
    teacher: str
    model: str
    asked: int = Field(description="Rows with a request only.")
    kept: int = Field(description="Those whose answer meets the contract and agrees with the other samples.")
    left_out: dict[str, int] = Field(description="Why the others were not kept -> rows.")


class SlicesArtifact(Artifact):
    """The held-out rows' values in the columns of `decision.slices`: slices.parquet (column, row_id, value as text)."""

    kind: ClassVar[str] = "slices"
    columns: tuple[str, ...]


class LeakageArtifact(Artifact):
    """Train rows that contain benchmark items: leaks.parquet (row_id, file, item, share of the item's text that the row
    contains, kind: exact or near).

    templates.parquet has the same columns for rows that contain an item except for its numbers and quoted texts;
    leakage.json counts rows per file. Beside it the number of held-out rows with a twin in train, for the verdict.
    """

    kind: ClassVar[str] = "leakage"
    texts: int = Field(description="Texts of benchmark items that were searched for.")
    items: int = Field(description="Items with a text that occurs in a train row.")
    rows: int = Field(description="Train rows that contain one.")
    templates: int = Field(0, description="Train rows that contain one except for its numbers and quoted texts.")
    twins: int = Field(
        0,
        description="Held-out rows with the request of a train row, or nearly (the data's twins.parquet); 0 unless "
        "data.checks keeps such train rows.",
    )
    unread: tuple[str, ...] = Field(
        description="Benchmark data that was not searched: on the hub, or of a kind that is not read."
    )


class RenderingArtifact(Artifact):
    """Every row rendered by the base's template: lengths.parquet, rendering.json, golden.json (20 rows as ids),
    sample.json (what is supervised); with training.context also train.parquet, as training reads it.

    Columns of lengths.parquet: side (train or held_out), row_id, prompt_tokens, answer_tokens (the supervised ones,
    stop token included), control_tokens (those in the row's own text, without the template's), request_tokens (those of
    the prompt's own text).
    """

    kind: ClassVar[str] = "rendering"
    rows: int = Field(description="Train and held-out rows; all fit.")
    window: int = Field(description="The base's context window in tokens.")
    limit: int = Field(description="Tokens that a train row may have.")
    median_tokens: int = Field(description="Tokens of the median train row, prompt and answer.")
    longest_tokens: int = Field(description="Tokens of the longest train row.")
    train_tokens: int = Field(description="Tokens of all train rows.")
    supervised_tokens: int = Field(description="Those of them that the loss counts: answers and stop tokens.")

    @property
    def in_words(self) -> str:
        """One line for people: lengths against the limit, and how much is supervised."""
        share = self.supervised_tokens / max(1, self.train_tokens)
        return (
            f"train rows have a median of {self.median_tokens} and at most {self.longest_tokens} tokens, of "
            f"{self.limit} allowed (context window {self.window}); "
            f"{self.supervised_tokens} of {self.train_tokens} train tokens are supervised ({share:.0%})"
        )


class DataReportArtifact(Artifact):
    """The report on the rows: report.html (self-contained), summary.md, refused.json (the first rows taken out)."""

    kind: ClassVar[str] = "data_report"
    headline: str


class AdapterArtifact(Artifact):
    """A fitted adapter: best/ and last/ (adapter_model.safetensors + adapter_config.json; model.safetensors for
    `full`), log.jsonl, facts.json, golden.json.
    """

    kind: ClassVar[str] = "adapter"
    method: str
    base_digest: str
    template_digest: str
    parameters: int
    steps: int
    train_tokens: int
    train_loss: float
    validation_loss: float | None
    seconds: float
    replay: float = Field(0.0, description="Share of the examples that neutral texts took the place of.")


class ArmArtifact(Artifact):
    """One arm measured: answers.parquet, one row per held-out row; details.json: confused labels, or fields.

    Columns: row_id, group, output, score (0..1), is_valid (met the contract), prompt_tokens, output_tokens, is_stopped
        (ended by itself), strict_score and lenient_score (`score` is one of them), shown (passages or rows retrieved),
        found (rank of the nearest of them, from 1, in which the reference answer stands), in_corpus (whether it stands
        in the corpus at all); null where that cannot be told.
    """

    kind: ClassVar[str] = "arm"
    arm: str
    rows: int
    score: float
    valid_rate: float
    stopped_rate: float
    prompt_tokens: float
    output_tokens: float
    seconds_per_row: float
    reading: str = Field("strict", description="The reading of answers that the score is about.")
    strict_score: float | None = Field(None, description="Answers read as a program would; None where unknown.")
    lenient_score: float | None = Field(None, description="Answers read past the words around them.")
    also: dict[str, float] = Field({}, description="Metrics that do not decide, and macro_f1 of labels.")
    retrieved: Recall | None = Field(None, description="What retrieval found; None for an arm without.")


class EndpointArtifact(ArmArtifact):
    """An endpoint's answers to the held-out rows, as those of an arm."""

    model: str
    refusals: int = Field(0, description="Answers that the server marks as refused or filtered.")
    faults: dict[str, int] = Field({}, description="Status -> tries that were answered with it and made again.")
    has_usage: bool = Field(True, description="The server says how many tokens it read and wrote.")
    p50_seconds: float
    p95_seconds: float


class TimingArtifact(Artifact):
    """Seconds of one answer of an arm, one request at a time, on the machine that measured them."""

    kind: ClassVar[str] = "timing"
    arm: str
    rows: int
    mean: float
    p50: float
    p95: float


class BenchmarkFilesArtifact(Artifact):
    """Task files, the code beside them and their data as they lay: files/, and sources.json (a BenchmarkSources)."""

    kind: ClassVar[str] = "benchmark_files"
    names: tuple[str, ...]


class ReplayTextsArtifact(Artifact):
    """Neutral texts that training may learn and no benchmark measures: texts.json."""

    kind: ClassVar[str] = "replay_texts"
    texts: int


class BenchmarkArtifact(Artifact):
    """Base and tuned on the same benchmark items: items.parquet (task, item, base, tuned: accuracy 0/1) and tasks.json
    (BenchmarkTask rows, the pooled one last); neutral.parquet where neutral texts were measured (text, its place from
    0; base, tuned: nats a token).
    """

    kind: ClassVar[str] = "benchmark"
    tasks: tuple[BenchmarkTask, ...]
    pooled: BenchmarkTask = Field(description="All items of all tasks; the task itself where there is one.")
    margin: float
    level: float = Field(description="One-sided error of every claim at the last look.")
    looks: tuple[int, ...] = Field(description="Items that both models had answered at each look.")
    all_items: int = Field(description="Items that there are.")
    neutral: NeutralLoss | None = Field(None, description="What neutral text tells; None where none was measured.")
    chat: tuple[str, ...] = Field((), description="Tasks that were asked through the base's chat template.")

    @property
    def shown(self) -> tuple[BenchmarkTask, ...]:
        """The tasks and, where there are several, the pooled result as the last."""
        return self.tasks if self.pooled in self.tasks else (*self.tasks, self.pooled)


class VerdictArtifact(Artifact):
    """The decision: verdict.json holds the whole `schemas.reports.Verdict`."""

    kind: ClassVar[str] = "verdict"
    verdict: str
    headline: str
    is_sufficient: bool
    promotes: bool


class ReportArtifact(Artifact):
    """The report on the verdict for people: report.html (self-contained), verdict.json, summary.md, and flips.parquet.

    Columns of flips.parquet, one row for each held-out row and pair of arms, lost ones first: before, after (arms),
    row_id, group, kind (lost, won, changed: same score with another answer, same), before_score, after_score, prompt
    (with the turns before it), reference, before_output, after_output.
    """

    kind: ClassVar[str] = "report"
    headline: str


class AdviceArtifact(Artifact):
    """What to do next: advice.json holds a `schemas.findings.advice.Advice`, report.html the report with it."""

    kind: ClassVar[str] = "advice"
    next_step: str


class TrackedRun(Artifact):
    """The MLflow run that holds a verdict's numbers: tracked.json."""

    kind: ClassVar[str] = "tracked"
    run_id: str
    experiment: str


class RegisteredVersion(Artifact):
    """A version in the MLflow registry: registered.json."""

    kind: ClassVar[str] = "registered"
    model: str
    version: str
    alias: str
    megabytes: float
