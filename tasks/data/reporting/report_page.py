"""The data report: report.html, and summary.md and refused.json for the flow run's page in Prefect."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import polars as pl

from schemas.artifacts import DataArtifact, LeakageArtifact, RenderingArtifact
from tasks.data.checking.refusing import first_rows
from tasks.data.layouts.converting import UNREAD
from tasks.data.reporting.balance import unbalanced
from tasks.data.reporting.changes import changed_rows, changes_between, is_comparable
from tasks.data.reporting.page_template import DATA_STYLE, REFUSED_TEMPLATE, TEMPLATE
from tasks.data.reporting.report_chart import lengths_chart
from tasks.data.reporting.report_facts import (
    DataFacts,
    Rows,
    clusters_of,
    leaks_of_benchmark,
    lengths_of,
    read_json,
    reasons_of,
    reasons_of_refused,
    sample_of,
)
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
    (out / "refused.json").write_text(
        json.dumps(first_rows(pl.read_parquet(data / "refused.parquet")), ensure_ascii=False, indent=1) + "\n",
        encoding="utf-8",
    )
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
    clusters, repeats = clusters_of(rows)
    parts = {"data": artifact, "rendering": rendering and rendering[0], "leakage": leakage and leakage[0]}
    return DataFacts(
        name=name,
        data=artifact,
        report=read_json(folder / "report.json"),
        reasons=reasons_of(rows),
        clusters=clusters,
        repeats=repeats,
        lengths=lengths_of(rows, lines),
        sample=sample_of(rows, lines),
        rendering=read_json(lines / "rendering.json") if lines else None,
        tokens=rendering[0] if rendering else None,
        leakage=leakage[0] if leakage else None,
        benchmark=read_json(leakage[1] / "leakage.json") if leakage else {},
        leaks=leaks_of_benchmark(rows, leakage[1]) if leakage else (),
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
    return rendered(
        TEMPLATE, {"number": _number, "percent": "{:.1%}".format}, facts=facts, report=facts.report, **words
    )


def write_refused_page(name: str, refused: Path, headline: str) -> Path:
    """Write the page on a refused dataset beside its refused.parquet, and return the page's path."""
    page = refused.with_name("refused.html")
    words = {
        "title": f"{name}: data report",
        "headline": headline,
        "reasons": reasons_of_refused(refused),
        "table": refused.name,
    }
    page.write_text(
        rendered(REFUSED_TEMPLATE, {"number": _number}, data_style=own(DATA_STYLE), **words), encoding="utf-8"
    )
    return page


def headline(facts: DataFacts) -> str:
    """Return the report's headline."""
    rows = facts.report["rows"]
    return (
        f"{_number(rows['train'])} train rows, {_number(rows['held_out'])} held out, "
        f"{_number(rows['refused'])} of {_number(rows['read'])} taken out"
    )


def advice(facts: DataFacts) -> list[tuple[str, str]]:
    """Return (mood, sentence) of everything that needs attention, the most serious first."""
    report, found = facts.report, []
    rows = report["rows"]
    if facts.leakage and facts.leakage.rows:
        mood = "bad" if facts.leakage.items >= LEAKED_SHARE * facts.leakage.texts else "unsure"
        rows_and_items = (
            f"{_count(facts.leakage.rows, 'train row')} contain{'s' * (facts.leakage.rows == 1)} "
            f"{_count(facts.leakage.items, 'benchmark item')}"
        )
        found.append((mood, f"{rows_and_items}, which would measure memorisation."))
    shared = report["leakage"].get("train x held_out", {}).get("shared_groups", 0)
    if shared:
        found.append(("bad", f"Groups on both sides of the split: {shared}."))
    found += _twin_lines(report)
    if not report.get("personal_data", {}).get("is_looked_for", True):
        found.append(
            (
                "unsure",
                "Rows were not searched for personal data and secrets, because these libraries are not installed: "
                f"{', '.join(report['personal_data']['missing'])}.",
            )
        )
    if rows["refused"] > REFUSED_SHARE * rows["read"]:
        most = next(reason for reason in facts.reasons if reason.action in ("refuse", "drop"))
        found.append(
            ("unsure", f"{rows['refused'] / rows['read']:.1%} of the rows were taken out, most often for {most.name}.")
        )
    if rows["train"] < ADVISED:
        found.append(
            ("unsure", f"With fewer than {ADVISED} train rows a tuned model often learns only the form of the answers.")
        )
    unread = [column["column"] for column in report["columns"] if column["became"] == UNREAD and column["filled"]]
    if unread:
        found.append(("unsure", f"Not read: {', '.join(unread[:LABELS])}; data.ignore says that it is on purpose."))
    found += [
        ("unsure", f"Labels: {line}.")
        for line in (unbalanced(report["labels"]["balance"]) if report.get("labels") else [])
    ]
    found += [
        ("unsure", f"Not searched for benchmark items: {name}.")
        for name in (facts.leakage.unread if facts.leakage else ())
    ]
    return sorted(found, key=lambda line: line[0] != "bad")


def _twin_lines(report: dict[str, Any]) -> list[tuple[str, str]]:
    """Return what needs attention about near-duplicates: those on both sides, and a tied group of many rows."""
    rows, lines = report["rows"], []
    twins = report["leakage"].get("few_shot_pool x held_out", {}).get("held_out_rows_with_a_twin", 0)
    if twins:
        lines.append(("bad", f"{_count(twins, 'held-out row')} with the request of a train row, or nearly."))
    largest = report.get("tied", {}).get("largest", 0)
    if largest > LARGE_SHARE * (rows["train"] + rows["held_out"]):
        remedy = "raise data.near_duplicate, or set data.tie_near_duplicates to false"
        lines.append(
            ("unsure", f"Near-duplicates tie {_number(largest)} rows into one group; if that is too many, {remedy}.")
        )
    return lines


def _mood(facts: DataFacts) -> str:
    moods = {mood for mood, _ in advice(facts)}
    return "bad" if "bad" in moods else "unsure" if moods else "good"


def _tiles(facts: DataFacts) -> list[tuple[str, str]]:
    rows = facts.report["rows"]
    tiles = [
        (_number(rows["train"]), "train rows"),
        (_number(rows["held_out"]), "held-out rows"),
        (_number(rows["refused"]), "rows taken out"),
    ]
    tiles.append((_number(sum(reason["rows"] for reason in facts.report["noted"].values())), "notes on kept rows"))
    tiles.append((_number(facts.repeats), "clusters of duplicates"))
    if facts.tokens:
        tiles.append(
            (_number(facts.tokens.median_tokens), f"median tokens per row, limit {_number(facts.tokens.limit)}")
        )
        tiles.append(
            (f"{facts.tokens.supervised_tokens / max(1, facts.tokens.train_tokens):.0%}", "of train tokens supervised")
        )
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
    return [
        (name, role["tokens"], role["supervised"], round(100 * role["tokens"] / whole, 1))
        for name, role in roles.items()
    ]


def summary(facts: DataFacts) -> str:
    """Return the report as markdown for the flow run's page; it contains no text of any row."""
    lines = [
        f"# {facts.name}: data report",
        "",
        f"**{headline(facts)}**",
        "",
        *(f"- {sentence}" for _, sentence in advice(facts)),
        "",
    ]
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
