"""Shares of right answers, their intervals, and what counts as rising."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loraloom.errors import UsageError
from loraloom.evaluation.agreement import (
    Share,
    all_right,
    answer_share,
    rises_steadily,
    shares_by_question,
    wilson_interval,
)

QUANTILE = 1.959963984540054

READ = (
    {"object": "ball", "colour": "red", "style": "anime"},
    {"object": "ball", "colour": "blue", "style": "anime"},
    {"object": "car", "colour": "blue", "style": "plain"},
)
ASKED = (
    {"object": "ball", "colour": "red"},
    {"object": "ball", "colour": "red"},
    {"object": "car"},
)


@given(st.integers(1, 500).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
def test_the_interval_ends_where_the_score_test_stops_to_accept(counts: tuple[int, int]) -> None:
    right, total = counts
    low, high = wilson_interval(right, total)
    share = right / total
    assert 0 <= low <= share <= high <= 1
    for end in (low, high):
        if end not in (0, 1):  # there the test has no spread
            spread = math.sqrt(end * (1 - end) / total)
            assert abs(share - end) == pytest.approx(QUANTILE * spread, rel=1e-6, abs=1e-9)


def test_the_interval_covers_the_truth_nineteen_times_in_twenty() -> None:
    total = 24
    covered: list[float] = []
    for percent in range(5, 96):
        truth = percent / 100
        chances = [
            math.comb(total, k) * truth**k * (1 - truth) ** (total - k) for k in range(total + 1)
        ]
        intervals = [wilson_interval(k, total) for k in range(total + 1)]
        hits = (low <= truth <= high for low, high in intervals)
        covered.append(sum(chance for chance, hit in zip(chances, hits, strict=True) if hit))
    assert sum(covered) / len(covered) == pytest.approx(0.95, abs=0.01)


def test_more_pictures_make_a_narrower_interval() -> None:
    few, many = Share(6, 8), Share(600, 800)
    assert few.value == many.value
    assert few.low < many.low < many.high < few.high


@pytest.mark.parametrize(("right", "total"), [(0, 0), (3, 2), (-1, 2)])
def test_no_share_of_nothing(right: int, total: int) -> None:
    with pytest.raises(UsageError) as caught:
        Share(right, total)
    assert caught.value.code == "evaluation.no_share"
    assert str(total) in caught.value.message("ko")


def test_each_question_counts_only_where_it_was_asked() -> None:
    assert shares_by_question(READ, ASKED) == {"object": Share(3, 3), "colour": Share(1, 2)}


def test_a_picture_is_all_right_when_every_asked_answer_is() -> None:
    assert all_right(READ, ASKED) == Share(2, 3)


def test_the_style_share_counts_one_answer() -> None:
    assert answer_share(READ, "style", "anime") == Share(2, 3)


@pytest.mark.parametrize(
    ("rights", "rises"),
    [
        ((2, 50, 90), True),
        ((2, 90, 85, 85), True),  # exactly 5 points below the best is not more than 5
        ((2, 90, 84, 95), False),
        ((2, 90, 87, 84), False),  # small falls add up
        ((50, 50, 50), False),
        ((50, 60, 50), False),
        ((50,), False),
    ],
)
def test_rising_means_higher_at_the_end_and_no_fall_of_more_than_five_points(
    rights: tuple[int, ...], rises: bool
) -> None:
    assert rises_steadily([Share(right, 100) for right in rights]) is rises


def test_five_points_are_exact_whatever_the_number_of_pictures() -> None:
    assert rises_steadily([Share(0, 20), Share(20, 20), Share(19, 20)])
    assert not rises_steadily([Share(0, 20), Share(20, 20), Share(18, 20)])
    assert rises_steadily([Share(0, 20), Share(20, 20), Share(18, 20)], points=10)
