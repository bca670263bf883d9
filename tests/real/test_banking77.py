"""banking77 through the data room and the plain classifier."""

from __future__ import annotations

import csv
import io

import pytest

from tasks.arms.task import score_classifier
from tasks.data.locating import locate_data
from tasks.data.task import validate_data
from tests.data.conftest import Room, make_room, room
from tests.real.test_real_data import shared

__all__ = ["make_room", "room"]


@pytest.mark.real
@pytest.mark.slow
def test_banking77_is_answered_by_a_plain_classifier(room: Room) -> None:
    folder = shared("banking77")
    texts = [(folder / f"{side}.csv").read_text(encoding="utf-8") for side in ("train", "test")]
    rows = [row for text in texts for row in csv.DictReader(io.StringIO(text))]
    labels = sorted({row["category"] for row in rows})
    room.write([{"prompt": row["text"], "completion": row["category"]} for row in rows])
    config = room.config(
        {"answer": {"format": "choice", "labels": labels}, "metric": "choice"}, refuse_above=1.0, held_out=0.2
    )
    data = validate_data(config.task, config.data, 7, locate_data(config, room.workdir.store))
    made = score_classifier(config.task, data, None, 7)
    assert made.rows > 2000
    assert made.score > 0.85
    assert made.also["macro_f1"] > 0.85
