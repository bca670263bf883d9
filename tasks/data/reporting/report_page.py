"""The data report: report.html, and summary.md and refused.json for the flow run's page in Prefect."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import polars as pl

from schemas.artifacts import DataArtifact, LeakageArtifact, RenderingArtifact
from tasks.data.checking.refusing import first_rows
from tasks.data.layouts.converting import UNREAD
from tasks.data.reporting import report_facts as content
from tasks.data.reporting.balance import unbalanced
from tasks.data.reporting.changes import changed_rows, changes_between, is_comparable
from tasks.data.reporting.page_template import DATA_STYLE, REFUSED_TEMPLATE, TEMPLATE
from tasks.data.reporting.report_chart import lengths_chart
from tasks.data.reporting.report_facts import DataFacts, Rows, read_json, reasons_of, reasons_of_refused
from tasks.pages.page import own, rendered

ADVISED = 500  # train rows
CHANGED = 3  # rows shown of each kind of change
LABELS = 40  # labels shown
LARGE_SHARE = 0.1  # share of all rows from which on a tied group is mentioned
LEAKED_SHARE = 0.01  # share of the benchmark's texts from which on leaks make the page red
REFUSED_SHARE = 0.01  # share of rows taken out from which on it is mentioned


def write_data_pages(facts: DataFacts, data: Path, out: Path) -> str:
    """Write report.html, summary.md and refused.json into `out` and return the headline."""
    (out / "report.html").write_text(render_data_report(facts), encoding="utf-8")
    (out / "summary.md").write_text(summary(facts), encoding="utf-8")
    refused = json.dumps(first_rows(pl.read_parquet(data / "refused.parquet")), ensure_ascii=False, indent=1)
    (out / "refused.json").write_text(f"{refused}\n", encoding="utf-8")
    return headline(facts)


def gather(
    name: str,
    data: tuple[DataArtifact, Path],
    earlier: Path | None,
    rendering: tuple[RenderingArtifact, Path] | None,
    leakage: tuple[LeakageArtifact, Path] | None,
) -> DataFacts:
    """Read the content of the report from the opened artifacts."""
    artifact, folder = data
    before = earlier if earlier and is_comparable(earlier) else None
    rows, lines = Rows(folder), rendering[1] if rendering else None
    clusters, repeats = content.clusters_of(rows)
    parts = {"data": artifact, "rendering": rendering and rendering[0], "leakage": leakage and leakage[0]}
    return DataFacts(
        name=name,
        data=artifact,
        report=read_json(folder / "report.json"),
        reasons=reasons_of(rows),
        clusters=clusters,
        repeats=repeats,
        lengths=content.lengths_of(rows, lines),
        sample=content.sample_of(rows, lines),
        rendering=read_json(lines / "rendering.json") if lines else None,
        tokens=rendering[0] if rendering else None,
        leakage=leakage[0] if leakage else None,
        benchmark=read_json(leakage[1] / "leakage.json") if leakage else {},
        leaks=content.leaks_of_benchmark(rows, leakage[1]) if leakage else (),
        changes=changes_between(before, folder) if before else None,
        changed=tuple(changed_rows(before, folder, CHANGED)) if before else (),
        digests={part: found.digest for part, found in parts.items() if found is not None},
    )


def render_data_report(facts: DataFacts) -> str:
    """Return the report; equal facts give equal bytes."""
    limit = facts.tokens.limit if facts.tokens else None
    window = facts.tokens.window if facts.tokens else None
    words: dict[str, Any] = {
        "data_style": own(DATA_STYLE),
        "title": f"{facts.name}: data report",
        "headline": headline(facts),
        "mood": _mood(facts),
        "advice": advice(facts),
        "tiles": _tiles(facts),
        "chart": own(lengths_chart(facts.lengths, limit, window)),
        "labels": _label_bars(facts.report.get("labels")),
        "matrix": _matrix(facts),
        "roles": _roles(facts),
    }
    filters = {"number": _number, "percent": "{:.1%}".format}
    return rendered(TEMPLATE, filters, facts=facts, report=facts.report, **words)


def write_refused_page(name: str, refused: Path, headline: str) -> Path:
    """Write the page on a refused dataset beside its refused.parquet, and return the page's path."""
    page = refused.with_name("refused.html")
    words = {"title": f"{name}: data report", "headline": headline, "table": refused.name}
    shown = {"reasons": reasons_of_refused(refused), "data_style": own(DATA_STYLE)}
    page.write_text(rendered(REFUSED_TEMPLATE, {"number": _number}, **words, **shown), encoding="utf-8")
    return page


def headline(facts: DataFacts) -> str:
    """Return the report's headline."""
    rows = {name: _number(count) for name, count in facts.report["rows"].items()}
    kept = f"{rows['train']} train rows, {rows['held_out']} held out"
    return f"{kept}, {rows['refused']} of {rows['read']} taken out"


def advice(facts: DataFacts) -> list[tuple[str, str]]:
    """Return (mood, sentence) of everything that needs attention, the most serious first."""
    found = [("bad", line) for line in _leaks(facts)] + [("unsure", line) for line in _doubts(facts)]
    if facts.leakage and facts.leakage.rows:
        contain = f"{_count(facts.leakage.rows, 'train row')} contain{'s' * (facts.leakage.rows == 1)}"
        mood = "bad" if facts.leakage.items >= LEAKED_SHARE * facts.leakage.texts else "unsure"
        items = _count(facts.leakage.items, "benchmark item")
        found.insert(0, (mood, f"{contain} {items}, which would measure memorisation."))
    return sorted(found, key=lambda line: line[0] != "bad")


def _leaks(facts: DataFacts) -> Iterator[str]:
    leakage = facts.report["leakage"]
    shared = leakage.get("train x held_out", {}).get("shared_groups", 0)
    if shared:
        yield f"Groups on both sides of the split: {shared}."
    twins = leakage.get("few_shot_pool x held_out", {}).get("held_out_rows_with_a_twin", 0)
    if twins:
        yield f"{_count(twins, 'held-out row')} with the request of a train row, or nearly."


def _doubts(facts: DataFacts) -> Iterator[str]:
    report, rows = facts.report, facts.report["rows"]
    largest = report.get("tied", {}).get("largest", 0)
    if largest > LARGE_SHARE * (rows["train"] + rows["held_out"]):
        remedy = "raise data.near_duplicate, or set data.tie_near_duplicates to false"
        yield f"Near-duplicates tie {_number(largest)} rows into one group; if that is too many, {remedy}."
    if not report.get("personal_data", {}).get("is_looked_for", True):
        missing = f"these libraries are not installed: {', '.join(report['personal_data']['missing'])}"
        yield f"Rows were not searched for personal data and secrets, because {missing}."
    if rows["refused"] > REFUSED_SHARE * rows["read"]:
        most = next(reason for reason in facts.reasons if reason.action in ("refuse", "drop"))
        yield f"{rows['refused'] / rows['read']:.1%} of the rows were taken out, most often for {most.name}."
    if rows["train"] < ADVISED:
        yield f"With fewer than {ADVISED} train rows a tuned model often learns only the form of the answers."
    unread = [column["column"] for column in report["columns"] if column["became"] == UNREAD and column["filled"]]
    if unread:
        yield f"Not read: {', '.join(unread[:LABELS])}; data.ignore says that it is on purpose."
    yield from (
        f"Labels: {line}." for line in (unbalanced(report["labels"]["balance"]) if report.get("labels") else ())
    )
    yield from (
        f"Not searched for benchmark items: {name}." for name in (facts.leakage.unread if facts.leakage else ())
    )


def _mood(facts: DataFacts) -> str:
    moods = {mood for mood, _ in advice(facts)}
    return "bad" if "bad" in moods else "unsure" if moods else "good"


def _tiles(facts: DataFacts) -> list[tuple[str, str]]:
    rows, notes = facts.report["rows"], sum(reason["rows"] for reason in facts.report["noted"].values())
    sides = (rows["train"], "train rows"), (rows["held_out"], "held-out rows"), (rows["refused"], "rows taken out")
    found = (notes, "notes on kept rows"), (facts.repeats, "clusters of duplicates")
    tiles = [(_number(count), what) for count, what in (*sides, *found)]
    if facts.tokens:
        share = facts.tokens.supervised_tokens / max(1, facts.tokens.train_tokens)
        limit = f"median tokens per row, limit {_number(facts.tokens.limit)}"
        tiles += [(_number(facts.tokens.median_tokens), limit), (f"{share:.0%}", "of train tokens supervised")]
    return tiles


def _label_bars(labels: dict[str, Any] | None) -> dict[str, Any] | None:
    """Return (label, train rows, held-out rows, two bar widths in percent of the widest), the most frequent first."""
    if not labels:
        return None
    train, held_out = labels["train"], labels["held_out"]
    shares = _shares(train), _shares(held_out)
    widest = max([*shares[0].values(), *shares[1].values(), 1e-9])
    order = sorted(train, key=lambda label: (-train[label], label))
    bars = []
    for label in order[:LABELS]:
        widths = [round(100 * share[label] / widest, 1) for share in shares]
        bars.append((label, train[label], held_out[label], *widths))
    return {"bars": bars, "rest": max(0, len(order) - LABELS)}


def _shares(counts: dict[str, int]) -> dict[str, float]:
    whole = max(1, sum(counts.values()))
    return {label: count / whole for label, count in counts.items()}


def _matrix(facts: DataFacts) -> list[tuple[str, list[tuple[str, str]]]]:
    """Return (pair, its counts in words), for every pair of report.json and of the benchmark."""
    pairs = {**facts.report["leakage"], **facts.benchmark}
    return [(_pair(pair), _counts(counts)) for pair, counts in pairs.items()]


def _counts(counts: dict[str, Any]) -> list[tuple[str, str]]:
    return [("" if name == "note" else _words(name), _number(value)) for name, value in counts.items()]


def _roles(facts: DataFacts) -> list[tuple[str, int, int, float]]:
    """Return (role, tokens, supervised tokens, share of all tokens in percent)."""
    roles = (facts.rendering or {}).get("roles", {})
    whole = max(1, sum(role["tokens"] for role in roles.values()))
    counts = ((name, role["tokens"], role["supervised"]) for name, role in roles.items())
    return [(name, tokens, learned, round(100 * tokens / whole, 1)) for name, tokens, learned in counts]


def summary(facts: DataFacts) -> str:
    """Return the report as markdown for the flow run's page; it contains no text of any row."""
    lines = [f"# {facts.name}: data report", "", f"**{headline(facts)}**", ""]
    lines += [*(f"- {sentence}" for _, sentence in advice(facts)), ""]
    if facts.changes is not None:
        lines += [f"Since the last run: {facts.changes}.", ""]
    if facts.tokens:
        lines += [f"Tokens: {facts.tokens.in_words}.", ""]
    if facts.reasons:
        lines += ["| reason | rows | action | how to fix it |", "|---|---:|---|---|"]
        lines += [f"| {reason.name} | {reason.rows} | {reason.action} | {reason.mend} |" for reason in facts.reasons]
    return "\n".join([*lines, ""])


def _pair(name: str) -> str:
    return _words(name).replace(" x ", " × ")


def _count(number: int, what: str) -> str:
    return f"{number:,} {what}{'s' * (number != 1)}"


def _words(name: str) -> str:
    return name.replace("_", " ")


def _number(value: Any) -> str:
    return f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else str(value)
