from __future__ import annotations

import os
import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from flows.command_line.terminal import gate_table
from schemas.artifacts import DataArtifact
from schemas.findings.advice import Advice, CurvePoint
from schemas.reports import ArmReport, ChampionReport, Verdict
from tasks.decision.page.advice_box import with_advice
from tasks.decision.page.report_page import ReportPage, render_report
from tasks.decision.page.reporting import summary
from tasks.decision.verdict.gate import judge_forgetting
from tasks.decision.verdict.wording import gate_sentences
from tests.decision.measured_benchmark import a_benchmark, a_loss, a_task

DATA = DataArtifact(
    digest="d" * 64, train_rows=80, held_out_rows=20, refused_rows=3, reasons={"empty_answer": 3}, documents=0
)


ROWS = '{"arms":["prompt"],"rows":[[17,"g1","a?","yes",[["no",0.0,false]]]],"pairs":[],"total":1}'


def an_arm(name: str, score: float, **more: Any) -> ArmReport:
    rest = {
        "valid_rate": 1.0,
        "stopped_rate": 1.0,
        "prompt_tokens": 40.0,
        "output_tokens": 5.0,
        "standing": "short",
    } | more
    return ArmReport(arm=name, rows=20, groups=20, score=score, low=score - 0.1, high=score + 0.1, **rest)


def a_page(**changes: Any) -> ReportPage:
    gain = {"gain": 0.4, "gain_low": 0.3, "gain_high": 0.5, "standing": "good"}
    task = a_task("lost", "general_mini", (-0.125, -0.15, -0.1), items=400)
    verdict = Verdict(
        verdict="none_good_enough",
        arm="prompt",
        recommendation="Do not rely on any of these arms yet.",
        regret=0.01,
        headline="The gate refuses the adapter: it lost too much. prompt scores 0.450.",
        reasons=("Because of <b>this</b>.",),
        target=0.8,
        worth=0.03,
        confidence=0.95,
        rows=20,
        groups=19,
        arms=(an_arm("prompt", 0.45), an_arm("tuned", 0.85, **gain)),
        gate=judge_forgetting(a_benchmark(task), "kept"),
        is_sufficient=False,
        is_refused_by_gate=True,
        promotes=False,
        tuned_arm="tuned",
    )
    log = [{"step": 1, "loss": 2.0}, {"step": 2, "loss": 1.0}, {"step": 2, "validation_loss": 1.25}]
    page = {
        "name": "demo",
        "verdict": verdict,
        "data": DATA,
        "rows": ROWS,
        "log": log,
        "training": ("lora",),
        "digests": {"data": "d" * 64},
    }
    return ReportPage(**(page | changes))


class Outline(HTMLParser):
    """Collects what a browser would fetch, every id, every reference to one, and tags left open."""

    VOID = ("meta", "link", "img", "br", "use", "path", "input")

    def __init__(self, text: str) -> None:
        super().__init__()
        self.fetched: list[str] = []
        self.ids: list[str] = []
        self.references: set[str] = set(re.findall(r"url\(#([^)]+)\)", text))
        self.open: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = dict(attrs)
        self.ids += [values["id"] or ""] if "id" in values else []
        for name in ("href", "src", "xlink:href"):
            value = values.get(name) or ""
            (self.references.add(value[1:]) if value.startswith("#") else self.fetched.append(value)) if value else None
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if tag not in self.VOID:
            assert self.open.pop() == tag


def test_the_page_fetches_nothing_and_every_reference_in_it_leads_somewhere() -> None:
    text = render_report(a_page())
    outline = Outline(text)
    assert outline.fetched == []
    assert "://" not in text
    assert outline.open == []
    assert len(outline.ids) == len(set(outline.ids))
    assert outline.references <= set(outline.ids)


def test_the_learning_curve_stands_before_the_arms_and_only_where_there_is_one() -> None:
    points = tuple(CurvePoint(share=s, train_rows=int(80 * s), score=s / 2, low=0.0, high=1.0) for s in (0.25, 0.5, 1))
    advice = Advice(advice="Collect <more>.", next_step="more_rows", trend="rising", curve=points, arm="tuned")
    text = with_advice(render_report(a_page()), advice)
    places = [
        text.index(part)
        for part in ("<h2>Why</h2>", "Collect &lt;more&gt;.", "0.125<small>0.000 to", "<h2>The arms</h2>")
    ]
    assert places == sorted(places) and "all of them: still rising." in text
    assert Outline(text).open == []
    bare = with_advice(render_report(a_page()), advice.model_copy(update={"curve": (), "trend": None}))
    assert "Collect" in bare and "share of the groups" not in bare


def test_what_reasons_say_is_shown_as_text_not_run() -> None:
    assert "Because of &lt;b&gt;this" in render_report(a_page())


def test_the_verdict_stands_before_every_number_and_the_shut_gate_is_told() -> None:
    text = render_report(a_page())
    assert text.index("The gate refuses the adapter") < text.index("0.450") < text.index("[17,")
    assert '<b class="bad">Gate shut</b>: lost beyond a margin of 0.05 on 400 items.' in text
    assert "−0.125" in text


def test_the_page_and_the_summary_tell_three_kinds_of_loss_apart() -> None:
    tasks = (a_task("kept", "facts"), a_task("inconclusive", "grammar"), a_task("lost", "sums"))
    gate = judge_forgetting(a_benchmark(*tasks, pooled=a_task("inconclusive", "pooled", items=300)), "kept")
    verdict = a_page().verdict.model_copy(update={"gate": gate, "reasons": gate_sentences(gate, 0.95)})
    text, markdown = render_report(a_page(verdict=verdict)), summary("demo", verdict)
    for name, mood, words in (
        ("facts", "good", "kept"),
        ("grammar", "unsure", "inconclusive"),
        ("sums", "bad", "lost"),
        ("pooled", "unsure", "inconclusive"),
    ):
        assert re.search(rf"<td>{name}</td>(?:(?!</tr>).)*<span class=\"{mood}\">{words}</span>", text, re.DOTALL)
        assert re.search(rf"\| {name} \|.*\| {words} \|", markdown)
    assert gate.in_words in text and gate.in_words in markdown
    assert "may be lost or not" not in text, "the table lists single tasks, the reasons do not"
    assert "may be lost or not" in markdown


def test_the_page_the_summary_and_the_terminal_show_the_loss_on_neutral_text_with_its_unit_and_margin() -> None:
    loss = a_loss("lost").model_copy(update={"replay": 0.1})
    gate = judge_forgetting(a_benchmark(a_task("kept"), neutral=loss), "kept")
    verdict = a_page().verdict.model_copy(update={"gate": gate, "reasons": gate_sentences(gate, 0.95)})
    text, markdown = render_report(a_page(verdict=verdict)), summary("demo", verdict)
    assert re.search(
        r"<td>neutral text<small>nats a token.*<span class=\"bad\">lost</span><small>margin 0.1", text, re.DOTALL
    )
    assert "| neutral text (nats a token: more is worse) | 200 | 4.000 | 4.500 | +0.500 |" in markdown
    assert "neutral text lost, +0.500 nats a token with replay 0.1 (+0.400 to +0.600; margin 0.1)" in text
    table = gate_table(verdict)
    assert table is not None and "neutral text" in str(list(table.columns[0].cells)[-1])


def test_page_and_summary_say_what_to_do_what_distorts_and_on_how_many_groups_it_stands() -> None:
    verdict = a_page().verdict.model_copy(update={"caveats": ("6 train rows repeat a held-out row & stay.",)})
    text, markdown = render_report(a_page(verdict=verdict)), summary("demo", verdict)
    for shown in (text.replace("&amp;", "&"), markdown):
        assert verdict.recommendation in shown and verdict.caveats[0] in shown
    assert "20 held-out rows in 19 groups" in text
    assert "<b>0.450</b><span>score of prompt</span>" in text, "the score is that of the arm that the verdict names"
    assert "gain of" not in text, "and it has no gain, whatever another arm's is"
    assert "| prompt | 20 | 20 | 0.450 |" in markdown


def test_without_a_target_no_page_speaks_of_one() -> None:
    free = a_page().verdict.model_copy(update={"target": None, "reasons": ()})
    text = render_report(a_page(verdict=free))
    assert "<th>best less 0.03</th>" in text and "falls behind" in text
    assert ">target" not in text and "against a target" not in text


def test_a_run_without_training_has_no_gate_and_no_loss_curve() -> None:
    page = a_page(
        log=(),
        training=(),
        verdict=a_page().verdict.model_copy(update={"gate": None, "arms": (an_arm("prompt", 0.45),)}),
    )
    text = render_report(page)
    assert "Forgetting on benchmarks" not in text
    assert text.count("<svg") == 1
    assert "blue: tuned" not in text


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_no_colour_is_fixed_in_a_plot(theme: str) -> None:
    text = render_report(a_page())
    plots = "".join(re.findall(r"<svg.*?</svg>", text, re.DOTALL))
    assert not re.findall(r"#[0-9a-fA-F]{6}\b", plots), f"this colour would not follow the {theme} page"
    used = set(re.findall(r"var\((--\w+)\)", plots))
    assert used <= set(re.findall(r"(--\w+):", text))


@pytest.mark.slow
def test_two_processes_write_the_same_bytes() -> None:
    code = (
        "import test_report_page as t; import hashlib; "
        "print(hashlib.sha256(t.render_report(t.a_page()).encode()).hexdigest())"
    )
    here = Path(__file__).parent
    made = set()
    for seed in ("1", "2"):
        environment = {**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": f"{here}:{here.parents[1]}"}
        made.add(
            subprocess.run(
                [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True
            ).stdout
        )
    assert len(made) == 1


@pytest.mark.slow
def test_the_champion_is_a_line_beside_the_arms_with_its_version_and_a_missing_one_is_explained() -> None:
    beside = ChampionReport(
        version="12",
        arm="tuned",
        rows=18,
        groups=18,
        left_out=2,
        score=0.7,
        low=0.6,
        high=0.8,
        valid_rate=1.0,
        prompt_tokens=40.0,
        output_tokens=5.0,
        standing="unclear",
        untrained="prompt",
        lead=0.25,
        lead_low=0.1,
        lead_high=0.4,
        outcome="no_challenger",
        reasons=("It holds & stands.",),
    )
    verdict = a_page().verdict
    shown = render_report(a_page(verdict=verdict.model_copy(update={"champion": beside})))
    assert "version 12, as tuned" in shown and "It holds &amp; stands." in shown
    assert "2 that it may have learned are left out" in shown
    assert "champion, version 12 | 18 | 18 | 0.700 | 0.600 to 0.800" in summary(
        "demo", verdict.model_copy(update={"champion": beside})
    )
    told = verdict.model_copy(update={"champion_note": "there is no champion yet"})
    assert "<p>There is no champion yet.</p>" in render_report(a_page(verdict=told))
    assert "The champion" not in render_report(a_page())
