"""Golden rows: whoever renders a row differently from how it was checked stops, with both texts shown."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from schemas.errors import ArtifactBroken, TuneworthyError
from tasks.inference.prompts.golden import GoldenRow, copy_golden, golden_tools, seal_golden, verify_golden
from tests.random_adapter import tokenizer_of
from tests.tampered_base import tampered

ROWS = [
    GoldenRow("train", 1, "which states border texas?", "ohio"),
    GoldenRow("held_out", 7, "capital of maine", "augusta"),
]


@pytest.fixture
def sealed(tmp_path: Path, tiny_model: Path) -> Path:
    seal_golden(ROWS, "Be brief.", tokenizer_of(tiny_model), tmp_path)
    return tmp_path


def test_the_same_tokenizer_agrees_and_gives_the_instruction(sealed: Path, tiny_model: Path) -> None:
    assert verify_golden(sealed, tokenizer_of(tiny_model)) == "Be brief."


@pytest.mark.parametrize("how", ["tokenizer", "template"])
def test_another_tokenizer_or_template_is_stopped_with_both_texts(
    sealed: Path, tiny_model: Path, tmp_path: Path, how: str
) -> None:
    other = tokenizer_of(tampered(tiny_model, tmp_path / "other", how))
    with pytest.raises(
        TuneworthyError, match="2 of 2 golden rows are rendered differently from when the data was checked, first row 1"
    ) as stopped:
        verify_golden(sealed, other)
    was, now = (line.partition(": ")[2] for line in str(stopped.value).splitlines()[1:3])
    assert was != now
    assert "border" in now


def test_one_id_is_enough_to_be_stopped(sealed: Path, tiny_model: Path) -> None:
    golden = json.loads((sealed / "golden.json").read_text())
    golden["rows"][1]["answer_ids"][0] += 1
    (sealed / "golden.json").write_text(json.dumps(golden))
    with pytest.raises(TuneworthyError, match=r"1 of 2 golden rows .* first row 7"):
        verify_golden(sealed, tokenizer_of(tiny_model))


def test_without_golden_rows_nobody_says_that_all_is_well(tmp_path: Path, tiny_model: Path) -> None:
    for check in (
        lambda: verify_golden(tmp_path, tokenizer_of(tiny_model)),
        lambda: copy_golden(tmp_path, tmp_path / "other"),
    ):
        with pytest.raises(ArtifactBroken, match=r"contains no golden\.json"):
            check()


def test_a_version_offers_the_tools_that_all_its_golden_rows_have(tmp_path: Path) -> None:
    for tools, offered in ((["[1]", "[1]"], "[1]"), (["[1]", "[2]"], None), ([None, None], None)):
        rows = [{"tools": one} for one in tools]
        (tmp_path / "golden.json").write_text(json.dumps({"instruction": "x", "rows": rows}))
        assert golden_tools(tmp_path) == offered
