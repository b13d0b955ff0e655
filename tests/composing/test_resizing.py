"""Resizing against torch's decomposition of the whole matrix."""

from __future__ import annotations

import pytest
import torch

from loraloom.composing import Truncation, resize
from tests.composing.conftest import assert_same_changes, changes


@pytest.mark.parametrize(
    "truncation",
    [
        Truncation.to(2),
        Truncation(rule="energy", number=0.8),
        Truncation(rule="sv_fro", number=0.9),
        Truncation(rule="sv_cumulative", number=0.7),
        Truncation(rule="sv_ratio", number=1.5, most=3),
    ],
    ids=lambda truncation: truncation.rule,
)
def test_a_resized_adapter_is_the_nearest_of_its_rank(make, truncation):
    adapter = make(1, rank=5, alpha=0.7)
    made = resize(adapter, truncation)
    for fit in made.fits:
        whole = changes(adapter)[fit.place]
        u, values, vh = torch.linalg.svd(whole.flatten(1), full_matrices=False)
        rank = truncation.rank(values)
        nearest = (u[:, :rank] * values[:rank]) @ vh[:rank]
        found = changes(made.adapter)[fit.place].flatten(1)
        torch.testing.assert_close(found, nearest, rtol=1e-5, atol=1e-6)
        assert fit.rank == rank == made.adapter.deltas[fit.place].rank
        assert fit.norm == pytest.approx(float(whole.norm()))
        assert fit.error == pytest.approx(float(values[rank:].norm() / values.norm()), rel=1e-6)
        assert fit.energy == pytest.approx(1 - fit.error**2)
    errors = torch.tensor([fit.norm * fit.error for fit in made.fits])
    norms = torch.tensor([fit.norm for fit in made.fits])
    assert made.error == pytest.approx(float(errors.norm() / norms.norm()), rel=1e-5)


def test_a_rank_that_is_enough_loses_nothing(make):
    adapter = make(1, rank=3)
    made = resize(adapter, Truncation.to(3))
    assert_same_changes(changes(made.adapter), changes(adapter), 1e-6)
    assert all(fit.error < 1e-7 for fit in made.fits)


def test_a_larger_rank_ends_with_the_factors(make):
    made = resize(make(1, rank=3), Truncation.to(8))
    assert {fit.rank for fit in made.fits} == {3}
