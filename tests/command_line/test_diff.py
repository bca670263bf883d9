"""`tuneworthy diff`: two verdicts by any of their names, paired where their rows are the same, 6 where it got worse."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from flows.command_line.main import main
from schemas.reports import Verdict
from schemas.sections.decision import DecisionConfig
from tasks.decision.verdict.comparison import compare_arms
from tasks.decision.verdict.moves import Measured, moves_between, unpaired_interval
from tasks.decision.verdict.rules import judge
from tasks.intervals import paired_interval
from tasks.reuse.store import ArtifactStore
from tests.decision.measured_arms import an_arm, scored

DECISION = DecisionConfig(target=0.5)
HALF = [1.0, 0.0] * 30
GOOD, BAD = [1.0] * 60, [1.0] * 9 + [0.0] * 51


def sealed(store: ArtifactStore, kind: str, name: str, table: pl.DataFrame) -> str:
    """Seal a table as an artifact."""
    folder = store.folder("work", f"{kind}-{time.time_ns()}")
    table.write_parquet(folder / name)
    return store.seal(kind, folder)


def a_run(
    store: ArtifactStore, name: str, arms: Mapping[str, list[float]], first: str = "a", rank: int = 8
) -> tuple[Path, Verdict]:
    """Seal a run's rows, answers and report with their records; return the report's folder and the verdict."""
    count = len(next(iter(arms.values())))
    ids, turns = range(1, count + 1), pl.Series("history", [[]] * count, dtype=pl.List(pl.String))
    asked = {"row_id": ids, "history": turns, "prompt": [f"{first}{row}" for row in ids], "completion": "c"}
    data = sealed(store, "data", "held_out.parquet", pl.DataFrame(asked))
    measured = []
    for arm, scores in arms.items():
        one = scored(arm, scores)
        answers = {"row_id": ids, "group": one.groups, "score": scores, "output": [f"{name}{arm}"] * count}
        digest = sealed(store, "arm", "answers.parquet", pl.DataFrame(answers))
        measured.append(replace(one, artifact=one.artifact.model_copy(update={"digest": digest})))
        record(store, "score_arm", f"score_arm[{arm}]", name, digest, {"data": data, "settings.rank": rank})
    verdict = judge(compare_arms(measured, DECISION), None, DECISION, None).model_copy(update={"data": data})
    record(store, "validate_data", "validate_data", name, data, {"seed": rank})
    folder = store.folder("work", f"report-{name}")
    (folder / "verdict.json").write_text(verdict.model_dump_json(), encoding="utf-8")
    digest = store.seal("report", folder)
    record(store, "write_report", "write_report", name, digest, {})
    return store.open(digest), verdict


def record(
    store: ArtifactStore, stage: str, label: str, run: str, digest: str, ingredients: Mapping[str, object]
) -> None:
    """Write the record of a stage."""
    made = {"label": label, "run": run, "ingredients": dict(ingredients), "artifact": {"digest": digest}}
    store.write_record(stage, digest[:40], {**made, "key": digest[:40], "sealed_at": time.time()})


def asked(capsys: pytest.CaptureFixture[str], *names: object) -> tuple[int, str, str]:
    """Return the exit code and what `diff` says of two verdicts."""
    code = main(["diff", *map(str, names)])
    return code, *capsys.readouterr()


def test_a_run_a_folder_a_file_and_a_digest_name_the_same_verdict(
    store: ArtifactStore, capsys: pytest.CaptureFixture[str]
) -> None:
    folder, _ = a_run(store, "before", {"prompt": GOOD})
    a_run(store, "after", {"prompt": BAD})
    found = [
        asked(capsys, name, "after", "--json") for name in ("before", folder, folder / "verdict.json", folder.name[:9])
    ]
    assert {code for code, _, _ in found} == {6}
    assert len({json.dumps(json.loads(out)["named"]) for _, out, _ in found}) == 1


def test_the_same_rows_are_compared_row_by_row_and_other_rows_are_not(
    store: ArtifactStore, capsys: pytest.CaptureFixture[str]
) -> None:
    """Ten more of sixty rows are right: a gain row by row, and nothing that can be told from other rows."""
    better = [1.0, 0.0] * 20 + [1.0] * 20
    a_run(store, "before", {"prompt": HALF})
    a_run(store, "same-rows", {"prompt": better})
    a_run(store, "other-rows", {"prompt": better}, first="b")
    same, other = (
        json.loads(asked(capsys, "before", name, "--json")[1])["named"] for name in ("same-rows", "other-rows")
    )
    assert (same["is_paired"], same["standing"]) == (True, "better")
    assert (other["is_paired"], other["standing"]) == (False, "unclear")
    expected = paired_interval(HALF, better, confidence=0.95)
    assert (same["difference"], same["low"]) == pytest.approx((expected.mean, expected.low))


def test_files_without_a_store_are_enough_to_compare_by_their_intervals(
    store: ArtifactStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    one, other = (a_run(store, name, {"prompt": scores})[0] for name, scores in (("a", GOOD), ("b", BAD)))
    monkeypatch.setenv("TUNEWORTHY_STORE", str(tmp_path / "elsewhere"))
    code, out, _ = asked(capsys, one, other)
    assert code == 6
    assert "why: the store does not have the stages that made both" in out
    assert not (tmp_path / "elsewhere").exists(), "a question leaves no store behind"


def test_it_says_what_differs_in_the_stages_behind_the_answers_in_markdown_too(
    store: ArtifactStore, capsys: pytest.CaptureFixture[str]
) -> None:
    a_run(store, "before", {"prompt": BAD, "few_shot": GOOD})
    a_run(store, "after", {"prompt": GOOD, "few_shot": GOOD}, first="b", rank=16)
    code, out, _ = asked(capsys, "before", "after", "--markdown")
    lines = out.splitlines()
    assert code == 0
    assert lines[0] == "### before -> after"
    assert "| prompt | 0.150 | 1.000 | +0.850 |" in out and "| named | 1.000 | 1.000 | +0.000 |" in out
    assert "- why: validate_data: seed 8 -> 16" in lines
    assert "- why: score_arm[prompt]: settings.rank 8 -> 16" in lines
    assert "- verdict: few_shot -> prompt" in lines


def test_the_table_fits_80_columns(
    store: ArtifactStore, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    a_run(store, "one", {"prompt": GOOD, "tuned_retrieval": GOOD})
    a_run(store, "two", {"prompt": BAD, "tuned_retrieval": BAD})
    code, out, _ = asked(capsys, "one", "two")
    assert code == 6
    assert "tuned_retrieval" in out and "…" not in out
    assert "is worse at 95% confidence" in out


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"schema_version": None}, "its schema_version is missing"),
        ({"schema_version": 7}, "its schema_version is 7; this one reads schema_version 1"),
        ({"mood": "good"}, "fields that do not fit: mood"),
    ],
)
def test_a_verdict_of_another_release_is_refused_by_name(
    change: dict[str, object], says: str, store: ArtifactStore, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder, verdict = a_run(store, "run", {"prompt": GOOD})
    values = verdict.model_dump(mode="json") | change
    if values["schema_version"] is None:
        del values["schema_version"]
    old = tmp_path / "old.json"
    old.write_text(json.dumps(values), encoding="utf-8")
    code, out, err = asked(capsys, folder, old)
    assert (code, out) == (2, "")
    assert f"{old} was written by another release of Tuneworthy: {says}" in err


def test_what_is_no_verdict_is_refused_with_what_there_is(
    store: ArtifactStore, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    a_run(store, "night", {"prompt": GOOD})
    (tmp_path / "text.json").write_text("[]")
    for name, says in (
        ("nights", "no file, no run and no digest of a verdict"),
        ("nights", "runs with a report: night"),
        ("abcdef0", "at least 6 digits"),
        (tmp_path, "has no verdict.json"),
        (tmp_path / "text.json", "is not a verdict"),
    ):
        code, _, err = asked(capsys, "night", name)
        assert code == 2 and says in err


@pytest.mark.slow
def test_the_unpaired_interval_holds_the_difference_as_often_as_it_says() -> None:
    chance, inside = np.random.default_rng(0), 0
    for _ in range(200):
        arms = [
            compare_arms([scored("prompt", list(chance.binomial(1, p, 60) * 1.0))], DECISION)[0] for p in (0.6, 0.8)
        ]
        found = unpaired_interval((arms[0], 0.95), (arms[1], 0.95))
        inside += found.low <= 0.2 <= found.high
    assert 186 <= inside <= 200


def test_an_interval_of_another_confidence_is_brought_to_the_later_one() -> None:
    one, other = an_arm("prompt", 0.5, half=0.05), an_arm("prompt", 0.5, half=0.05)
    same = unpaired_interval((one, 0.95), (other, 0.95))
    assert same.high == pytest.approx(0.05 * 2**0.5)
    assert unpaired_interval((one, 0.8), (other, 0.95)).high > same.high


def test_seven_groups_make_nothing_worse() -> None:
    before, after = (
        judge(compare_arms([scored("prompt", [score] * 7)], DECISION), None, DECISION, None) for score in (1.0, 0.0)
    )
    named, _ = moves_between(Measured(before, {}, None), Measured(after, {}, None))
    assert (named.difference, named.standing) == (-1.0, "unclear")
