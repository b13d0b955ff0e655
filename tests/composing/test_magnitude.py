"""The least magnitude that is kept, against the order statistic of all entries."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from loraloom.composing.change import Dense, Product
from loraloom.composing.magnitude import least_magnitude


def _ended(steps):
    count = 0
    while True:
        try:
            next(steps)
        except StopIteration as end:
            return end.value, count
        count += 1


def _expected(changes, density):
    entries = torch.cat([change.entries().abs().flatten() for change in changes])
    wanted = max(1, round(density * len(entries)))
    return float(entries.sort(descending=True).values[wanted - 1])


@given(
    st.lists(st.tuples(st.integers(1, 300), st.integers(1, 9)), min_size=1, max_size=4),
    st.floats(1e-6, 1.0),
    st.integers(0, 99),
    st.booleans(),
)
@settings(max_examples=60)
def test_it_is_the_exact_order_statistic_in_one_pass(sides, density, seed, tied):
    generator = torch.Generator().manual_seed(seed)
    changes = []
    for rows, columns in sides:
        left = torch.randn(rows, 2, generator=generator, dtype=torch.float64)
        right = torch.randn(2, columns, generator=generator, dtype=torch.float64)
        if tied:
            changes.append(Dense((left @ right).round().float(), (rows, columns)))
        else:
            changes.append(Product(left, right, (rows, columns)))
    found, count = _ended(least_magnitude([lambda c=c: c for c in changes], density))
    assert found == _expected(changes, density)
    assert count == len(changes)


@pytest.mark.parametrize("density", [0.01, 0.5, 1.0])
def test_rows_that_are_no_sample_of_the_rest_do_not_mislead(density):
    """Every 61st row, which is looked at first, is a thousand times as large."""
    values = torch.randn(610, 8, generator=torch.Generator().manual_seed(0))
    values[::61] *= 1000
    change = Dense(values, (610, 8))
    found, _ = _ended(least_magnitude([lambda: change], density))
    assert found == _expected([change], density)
    assert math.isfinite(found)
