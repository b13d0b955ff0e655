"""Rules of rank against their definitions, and against kohya's."""

from __future__ import annotations

import pytest
import torch

from loraloom.composing import RULES, Truncation
from loraloom.errors import UsageError


def _kohya(method, values, target):
    """Return the rank of kohya's dynamic resizing: sd-scripts, networks/resize_lora.py, 063ef10."""
    if method == "sv_ratio":
        index = int((values > values[0] / target).sum()) - 1
    else:
        powers = values if method == "sv_cumulative" else values.square()
        share = target if method == "sv_cumulative" else target**2
        index = int(torch.searchsorted(powers.cumsum(0) / powers.sum(), share))
    return max(0, min(index, len(values) - 1)) + 1


@pytest.mark.parametrize("method", ["sv_cumulative", "sv_fro", "sv_ratio"])
@pytest.mark.parametrize("seed", range(5))
def test_dynamic_rules_are_kohyas(method, seed):
    generator = torch.Generator().manual_seed(seed)
    values = torch.rand(12, generator=generator, dtype=torch.float64).sort(descending=True).values
    for target in (1.5, 2.0, 5.0, 100.0) if method == "sv_ratio" else (0.1, 0.5, 0.9, 0.99):
        ours = Truncation(rule=method, number=target).rank(values)
        assert ours == _kohya(method, values, target)


def test_energy_is_the_share_of_squares():
    values = torch.tensor([3.0, 2.0, 1.0], dtype=torch.float64)  # squares 9, 4, 1: of 14
    for share, rank in ((0.0, 1), (9 / 14, 1), (0.65, 2), (13 / 14, 2), (0.93, 3), (1.0, 3)):
        assert Truncation(rule="energy", number=share).rank(values) == rank


def test_all_energy_stops_where_the_rest_is_rounding():
    values = torch.tensor([1.0, 0.5, 1e-17, 1e-18], dtype=torch.float64)
    assert Truncation(rule="energy", number=1.0).rank(values) == 2


def test_a_fixed_rank_ends_with_the_singular_values():
    values = torch.tensor([3.0, 2.0, 1.0], dtype=torch.float64)
    assert [Truncation.to(rank).rank(values) for rank in (1, 2, 3, 9)] == [1, 2, 3, 3]


def test_the_most_that_may_be_kept():
    values = torch.tensor([3.0, 2.0, 1.0], dtype=torch.float64)
    assert Truncation(rule="energy", number=1.0, most=2).rank(values) == 2


@pytest.mark.parametrize("rule", RULES)
def test_zero_has_rank_1(rule):
    values = torch.zeros(4, dtype=torch.float64)
    assert Truncation(rule=rule, number=1).rank(values) == 1


@pytest.mark.parametrize(
    ("rule", "number", "code"),
    [
        ("svd", 1, "composing.no_rule"),
        ("rank", 0, "composing.rule_number"),
        ("rank", 2.5, "composing.rule_number"),
        ("energy", 1.1, "composing.rule_number"),
        ("energy", float("nan"), "composing.rule_number"),
        ("sv_ratio", 0.5, "composing.rule_number"),
    ],
)
def test_numbers_that_make_no_sense(rule, number, code):
    with pytest.raises(UsageError) as caught:
        Truncation(rule=rule, number=number)
    assert caught.value.code == code
