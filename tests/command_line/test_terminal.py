"""What a verdict looks like in the terminal."""

from __future__ import annotations

from rich.console import Console

from flows.command_line.terminal import advice_lines, gate_table, verdict_table
from tests.before_registry import a_comparison, a_gate, a_retrieval_verdict, a_verdict


def test_the_title_of_the_gates_table_says_which_tasks_are_inconclusive_and_the_table_fits_80_columns() -> None:
    table = gate_table(a_verdict(0.85).model_copy(update={"gate": a_gate()}))
    console = Console(width=80, color_system=None)
    with console.capture() as shown:
        console.print(table)
    lines = shown.get().splitlines()
    title = " ".join(" ".join(lines).split("benchmark  ")[0].split())
    assert title == "Gate open: inconclusive at a margin of 0.05 on 82 items"
    assert "-0.183 to +0.012" in shown.get()
    assert max(map(len, lines)) <= 80


def test_a_run_without_training_has_no_gates_table() -> None:
    assert gate_table(a_verdict(0.85)) is None


def test_the_table_of_arms_says_rows_and_groups_and_fits_80_columns_with_a_champion_that_has_no_target() -> None:
    champion = a_comparison("better").model_copy(update={"standing": None})
    verdict = a_retrieval_verdict(0.85).model_copy(update={"champion": champion, "target": None})
    console = Console(width=80, color_system=None)
    with console.capture() as shown:
        console.print(verdict_table(verdict, {arm.arm: 12.34 for arm in verdict.arms}))
    assert "verdict: finetune+retrieval (50 rows in 50 groups)" in shown.get()
    assert "champion v1" in shown.get()
    assert max(map(len, shown.get().splitlines())) <= 80


def test_what_to_do_comes_before_what_may_distort_the_scores() -> None:
    verdict = a_verdict(0.85).model_copy(update={"caveats": ("Rows leak.",)})
    assert advice_lines(verdict) == ["Put tuned into service.", "Rows leak."]
