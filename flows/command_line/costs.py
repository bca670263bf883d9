"""What training would cost by each method, and what the benchmark would see: told from files and past records alone."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from rich.table import Table

from flows.command_line.terminal import plain_table
from flows.inputs.sources import locate
from schemas.artifacts import AdapterArtifact, ModelArtifact, RenderingArtifact
from schemas.config import RunConfig
from tasks.reuse.current_store import current_store
from tasks.reuse.planning import Plan
from tasks.reuse.store import ArtifactStore
from tasks.training.running.machine_notes import known_floor
from tasks.training.running.memory import ENOUGH, Pack, side_by_side
from tasks.training.shape import read_shape
from tasks.training.suitability import likely_machine


@dataclass(frozen=True)
class Cost:
    """What one method takes: bytes to train, bytes of the process, trained parameters, and minutes at past speed."""

    method: str
    is_chosen: bool
    bytes: int
    process_bytes: int | None
    parameters: int
    minutes: float | None


@dataclass(frozen=True)
class Costs:
    """The methods side by side, and what the figures assume; no line, and the reason, while they are unknown."""

    stands_on: str
    lines: tuple[Cost, ...] = ()

    def as_json(self) -> dict[str, object]:
        """Return the figures as JSON."""
        return {"stands_on": self.stands_on, "methods": [asdict(line) for line in self.lines]}


def training_costs(config: RunConfig, found: Plan) -> Costs | None:
    """Return what training would cost, or None where the plan does not train."""
    if not _runs("train_adapter", found):
        return None
    store = current_store()
    base, rendering = found.artifacts.get("fetch_base"), found.artifacts.get("check_rendering")
    folder = _base_folder(config, store, base)
    if folder is None:
        return Costs("unknown until the base model is in the store; a run puts it there")
    device, dtype = likely_machine()
    pack = _pack(config, rendering, device)
    floor, tokens = known_floor(store), _tokens(config, rendering)
    rates = dict(_rates(store, base)) if isinstance(base, ModelArtifact) else {}
    found_costs = side_by_side(read_shape(folder), config.training, dtype, device, pack)
    lines = []
    for method, (parameters, expected) in found_costs.items():
        minutes, is_chosen = _minutes(tokens, rates.get(method)), method == config.training.method
        lines.append(Cost(method, is_chosen, expected.total, floor, parameters, minutes))
    guessed = f"rows of training.max_length ({pack.row} tokens), as the rows were not rendered yet"
    rows = f"rows of {pack.row} tokens" if rendering else guessed
    return Costs(f"{dtype} on {device}, packs of {pack.tokens} tokens, {rows}", tuple(lines))


def benchmark_sight(config: RunConfig, found: Plan) -> str | None:
    """Return what loss the benchmark would notice, or None where it does not run or its items are not known yet."""
    if not _runs("benchmark_adapter", found):
        return None
    from tasks.benchmark.sight import local_clusters, sight_line

    clusters = local_clusters(locate(config).benchmark, config.benchmark.limit)
    return sight_line(clusters, config.benchmark.margin, config.decision.confidence) if clusters else None


def _runs(label: str, found: Plan) -> bool:
    return any(stage.label == label and stage.outlook in ("will run", "depends") for stage in found.stages)


def _base_folder(config: RunConfig, store: ArtifactStore, base: object) -> Path | None:
    """Return the sealed base, or the folder that it would come from, where its weights are safetensors."""
    if isinstance(base, ModelArtifact):
        folders = [store.root / "artifacts" / base.digest]
    else:
        folders = [Path(file.path).parent for file in locate(config).base.files if file.path.endswith(".safetensors")]
    whole = (one for one in folders if (one / "config.json").exists() and any(one.glob("*.safetensors")))
    return next(whole, None)


def _pack(config: RunConfig, rendering: object, device: str) -> Pack:
    """Return the size of the largest pack that training would make."""
    step = config.training.tokens_per_step
    if not isinstance(rendering, RenderingArtifact):
        longest = min(config.training.max_length, step)
        tokens = max(longest, min(ENOUGH[device], step))
        return Pack(tokens, tokens, longest)
    tokens = max(rendering.longest_tokens, min(ENOUGH[device], step))
    return Pack(tokens, tokens * rendering.supervised_tokens // max(1, rendering.train_tokens), rendering.median_tokens)


def _tokens(config: RunConfig, rendering: object) -> float | None:
    """Return the row tokens of all epochs, the validation rows included: their loss is measured too."""
    return rendering.train_tokens * config.training.epochs if isinstance(rendering, RenderingArtifact) else None


def _rates(store: ArtifactStore, base: ModelArtifact) -> Iterator[tuple[str, float]]:
    """Yield (method, tokens a second) of past trainings of this base, the newest last."""
    names = store.names("records", "train_adapter")
    records = filter(None, (store.record("train_adapter", name.removesuffix(".json")) for name in names))
    for record in sorted(records, key=lambda record: float(record["sealed_at"])):
        adapter = AdapterArtifact.model_validate(record["artifact"])
        if adapter.base_digest == base.digest and adapter.seconds > 0:
            yield adapter.method, adapter.train_tokens / adapter.seconds


def _minutes(tokens: float | None, rate: float | None) -> float | None:
    return round(tokens / rate / 60, 2) if tokens and rate else None


def costs_table(costs: Costs) -> Table:
    """Return the methods as a table of 80 columns."""
    names = ("memory", "of which process", "trained parameters", "minutes")
    table = plain_table(f"training: {costs.stands_on}", "method", names, "dim")
    for line in costs.lines:
        process = "unknown" if line.process_bytes is None else f"{line.process_bytes / 1e9:.2f} GB"
        memory = f"{'' if line.process_bytes else '+'}{(line.bytes + (line.process_bytes or 0)) / 1e9:.2f} GB"
        minutes = "unknown" if line.minutes is None else f"{line.minutes:.1f}"
        table.add_row(line.method + " *" * line.is_chosen, memory, process, f"{line.parameters:,}", minutes)
    return table
