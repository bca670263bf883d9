"""Near-duplicates: every planted one is found, none is invented, and template text does not count."""

from __future__ import annotations

import random
from functools import cache

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tasks.data.overlap.near_duplicates import BOILERPLATE, PERMUTATIONS, RECALL, banding, near_pairs
from tasks.data.text.shingles import shingles_of, template_of
from tests.data.conftest import Room

WORDS = [f"word{n}" for n in range(3000)]
FRAME = "please read the following ticket with care and say which queue it belongs to"


def texts(count: int, words: int = 60, seed: int = 0) -> list[str]:
    draw = random.Random(seed)
    return [" ".join(draw.choices(WORDS, k=words)) for _ in range(count)]


def jaccard(one: str, other: str) -> float:
    sets = trigrams(one), trigrams(other)
    return len(sets[0] & sets[1]) / len(sets[0] | sets[1])


@cache
def trigrams(text: str) -> frozenset[tuple[str, ...]]:
    words = text.split()
    return frozenset(tuple(words[n : n + 3]) for n in range(max(len(words) - 2, 1)))


def test_planted_near_duplicates_are_found_and_none_is_invented() -> None:
    rows, draw, planted = texts(3000), random.Random(1), set()
    for position in draw.sample(range(3000), 300):
        words = rows[position].split()
        for _ in range(draw.choice([1, 2, 3])):
            words[draw.randrange(60)] = draw.choice(WORDS)
        if jaccard(rows[position], " ".join(words)) >= 0.8:
            planted.add((position, len(rows)))
        rows.append(" ".join(words))
    found = {(first, second) for first, second, _ in near_pairs(pl.Series(rows), 0.8).iter_rows()}
    assert len(planted) > 150
    assert len(planted & found) >= 0.98 * len(planted)
    assert all(jaccard(rows[first], rows[second]) >= 0.8 for first, second in found)


@settings(max_examples=40, deadline=None)
@given(
    st.lists(st.lists(st.sampled_from("abcd"), min_size=1, max_size=8).map(" ".join), max_size=15),
    st.sampled_from([0.5, 0.8, 1.0]),
)
def test_a_pair_that_is_told_is_one_and_each_equal_text_is_in_a_pair(rows: list[str], threshold: float) -> None:
    pairs = near_pairs(pl.Series(rows, dtype=pl.String), threshold)
    for first, second, similarity in pairs.iter_rows():
        assert first < second
        assert jaccard(rows[first], rows[second]) == pytest.approx(similarity)
        assert similarity >= threshold
    for position, row in enumerate(rows):
        if row in rows[:position] and len(rows) < 20:
            assert position in pairs["second"].to_list()


@pytest.mark.parametrize("threshold", [0.5, 0.6, 0.7, 0.8, 0.9, 1.0])
def test_the_bands_find_a_pair_at_the_threshold(threshold: float) -> None:
    bands, rows = banding(threshold)
    assert bands * rows <= PERMUTATIONS
    assert 1 - (1 - threshold**rows) ** bands >= RECALL


def test_template_text_is_left_out() -> None:
    rows = [f"{FRAME} {text}" for text in texts(100, words=6)]
    assert jaccard(rows[0], rows[1]) >= 0.5
    assert near_pairs(pl.Series(rows), 0.5).is_empty()
    assert template_of(pl.Series(rows)).size == len(FRAME.split()) - 2


@pytest.mark.parametrize("count", [BOILERPLATE, 5 * BOILERPLATE])
def test_appended_texts_add_pairs_and_change_none_of_the_earlier_ones(count: int) -> None:
    """What all of the first texts share is in only a quarter of all texts."""
    said, draw = texts(4 * count, words=6), random.Random(2)
    rows = [f"{FRAME} {text}" if place < count else text for place, text in enumerate(said)]
    for place in draw.sample(range(1, len(rows)), len(rows) // 5):
        rows[place] = f"{rows[draw.randrange(place)]} again"
    before, after = near_pairs(pl.Series(rows[:count]), 0.6), near_pairs(pl.Series(rows), 0.6)
    assert before.height > count // 10
    assert after.filter(pl.col("second") < count).equals(before)


def test_template_text_that_only_later_texts_share_is_left_out_once_half_of_them_share_it() -> None:
    said = texts(16 * BOILERPLATE, words=6)
    rows = [f"{FRAME} {text}" if place >= BOILERPLATE else text for place, text in enumerate(said)]
    assert near_pairs(pl.Series(rows), 0.5)["second"].max() == 2 * BOILERPLATE - 1


def test_scripts_without_spaces_are_compared_by_character() -> None:
    sentence = "東京の天気は明日も晴れるでしょう"
    pairs = near_pairs(pl.Series([sentence, sentence[:-1] + "か", "大阪で美味しいものを食べました"]), 0.8)
    assert pairs.select("first", "second").rows() == [(0, 1)]


@given(st.lists(st.lists(st.sampled_from("abc"), max_size=6).map(" ".join), max_size=8))
def test_the_offsets_of_shingles_fit_their_texts(rows: list[str]) -> None:
    found = shingles_of(pl.Series(rows, dtype=pl.String))
    counts = [max(len(row.split(" ")) - 2, 1) for row in rows]
    assert [
        len(found.hashes[start:end]) for start, end in zip(found.offsets, found.offsets[1:], strict=False)
    ] == counts


def near_twins(count: int) -> list[dict[str, str]]:
    """Return rows in pairs; the twins differ in the last of 60 words."""
    return [
        {"prompt": f"{text} {twin}", "completion": twin, "group": f"g{n}{twin}"}
        for n, text in enumerate(texts(count))
        for twin in ("left", "right")
    ]


def test_a_higher_threshold_finds_fewer(room: Room) -> None:
    room.write(near_twins(30))
    room.validate(near_duplicate=1.0)
    assert room.table("notes").is_empty()
