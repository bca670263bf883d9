"""An adapter that earned its place becomes a version: what the version contains and says, and the alias it gets."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from transformers import AutoTokenizer

from schemas import artifacts as sealed
from schemas.artifacts import RegisteredVersion
from schemas.champion import ComparisonArtifact
from schemas.reports import ChampionReport, Verdict
from schemas.sections.arms import GRAMMAR, RetrievalConfig
from schemas.sections.task import TaskConfig
from tasks.answers.contract import JSON_SCHEMA
from tasks.answers.grammar import grammar_of
from tasks.inference.prompts.golden import verify_golden
from tasks.registry.connection import open_registry
from tasks.registry.fetching import served_digest
from tasks.registry.mlflow_registry import Candidate, register
from tasks.registry.placing import moving_aliases, place
from tasks.registry.run_contents import describe, measuring_tags, tuned_arm, version_tags
from tasks.registry.version.carried import Carried, carried_by
from tasks.registry.version.packaging import build_model
from tasks.registry.version.served_facts import ServedFacts
from tasks.reuse.stage import WorkDirectory


@dataclass(frozen=True)
class Winner:
    """An adapter that earned its place, with everything that its version is made from."""

    adapter: sealed.AdapterArtifact
    base: sealed.ModelArtifact
    data: sealed.DataArtifact
    decided: sealed.VerdictArtifact
    tracked: sealed.TrackedRun
    workdir: WorkDirectory

    @cached_property
    def verdict(self) -> Verdict:
        """The whole verdict."""
        page = self.workdir.open(self.decided)
        return Verdict.model_validate_json((page / "verdict.json").read_text(encoding="utf-8"))

    @cached_property
    def fitted(self) -> Path:
        """The opened adapter."""
        return self.workdir.open(self.adapter)

    @property
    def why_short(self) -> str:
        """Why the version may not become champion whatever the comparison says; "" where it won its verdict."""
        if self.verdict.is_held_by_gate and self.verdict.gate:
            return f"the benchmark cannot tell whether more than {self.verdict.gate.allowed} was lost"
        if self.verdict.verdict.startswith("finetune"):
            return self.verdict.held_back
        return f"its gain is worth it, but it does not meet the target at {self.verdict.confidence:.0%} confidence"

    def carried(self, retrieval: RetrievalConfig) -> Carried:
        """Return what the version retrieves from; nothing where the arm that won does not retrieve."""
        if not tuned_arm(self.verdict).arm.startswith("tuned_retrieval"):
            return Carried()
        return carried_by(retrieval, self.workdir.open(self.data), self.data)

    def served(self, task: TaskConfig, max_new_tokens: int, carried: Carried) -> ServedFacts:
        """Return the facts that the version answers with."""
        has_grammar = tuned_arm(self.verdict).arm.endswith(GRAMMAR)
        grammar = grammar_of(task, self.workdir.open(self.data) / JSON_SCHEMA) if has_grammar else ""
        base = self.base.name, self.base.digest, self.base.template_digest
        retrieved = carried.shown.top_k, carried.digest
        return ServedFacts(task.instruction, self.adapter.method, max_new_tokens, *base, *retrieved, grammar)

    def candidate(
        self, model: str, config_digest: str, settings: Mapping[str, str], carried: Carried, grammar: str
    ) -> Candidate:
        """Return what is to be registered as a version of `model`."""
        tags = version_tags(self.verdict, self.adapter, self.base, self.data, self.decided, config_digest)
        tags |= measuring_tags(self.verdict, settings)
        tags |= {"served_digest": served_digest(self.fitted, carried.content)} | carried.tags
        note, retrieved = describe(self.verdict, carried.note), (carried.digest, carried.shown.top_k, grammar)
        return Candidate(model, self.adapter.digest, tags, note, self.tracked.run_id, *retrieved)

    def verify_rendering(self) -> None:
        """Check that the base renders the golden rows as they were learned.

        Raises:
            TuneworthyError: a row is rendered differently.
        """
        base = str(self.workdir.open(self.base))
        verify_golden(self.fitted, AutoTokenizer.from_pretrained(base, trust_remote_code=False, local_files_only=True))


def register_and_place(
    winner: Winner,
    candidate: Candidate,
    served: ServedFacts,
    carried: Carried,
    destination: str,
    comparison: ComparisonArtifact | None,
    why_uncompared: str,
) -> RegisteredVersion:
    """Register the candidate as a version, give it its alias and report both."""
    workdir, model = winner.workdir, candidate.model
    report = _report_of(comparison, workdir)

    def build(folder: Path) -> None:
        build_model(folder, winner.fitted, served, carried.content)

    def waiting(owner: str) -> None:
        workdir.reporter.say(f"waiting for {owner}, which moves aliases of {model}")

    with open_registry(destination, workdir.store, f"The adapter is sealed in the store ({winner.fitted}).") as reached:
        version = register(reached, candidate, winner.tracked.experiment, workdir.folder / "model", build)
        with moving_aliases(workdir.store, destination, model, waiting):
            placed = place(reached, candidate, version, report, why_uncompared, winner.why_short)
        megabytes = float(reached.client.get_model_version(model, version).tags["megabytes"])
    said = f"registered {model} version {version} as {placed.alias}: {placed.why}; {megabytes:.1f} MB. {carried.note}"
    workdir.reporter.say(said.rstrip())
    return RegisteredVersion(model=model, version=version, alias=placed.alias, megabytes=megabytes)


def _report_of(comparison: ComparisonArtifact | None, workdir: WorkDirectory) -> ChampionReport | None:
    if comparison is None:
        return None
    return ChampionReport.model_validate_json((workdir.open(comparison) / "champion.json").read_text(encoding="utf-8"))
