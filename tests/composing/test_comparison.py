"""Comparing adapters by what they do."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch

from loraloom.adapters.lora import Lora
from loraloom.composing import compare
from tests.composing.conftest import LAYERS, changes, site


def test_other_factors_of_the_same_change_are_equal(make):
    adapter = make(1)
    turn = torch.linalg.qr(torch.randn(3, 3, generator=torch.Generator().manual_seed(1)))[0]
    turned = {
        where: Lora(
            torch.einsum("ab,b...->a...", turn.double(), delta.down.double()),
            torch.einsum("oa...,ba->ob...", delta.up.double(), turn.double()) * 4,
            delta.alpha / 4,
        )
        for where, delta in adapter.deltas.items()
    }
    found = compare(adapter, replace(adapter, deltas=turned))
    assert len(found) == len(LAYERS)
    assert all(each.error < 1e-6 and each.only is None for each in found)


def test_equal_numbers_are_exactly_equal(make):
    found = compare(make(1), make(1))
    assert [each.error for each in found] == [0.0] * len(LAYERS)
    assert {each.norms for each in found} == {None}


def test_the_error_is_that_of_the_matrices(make):
    one, other = make(1), make(2, rank=5, alpha=0.3)
    for each in compare(one, other):
        first, second = changes(one)[each.place], changes(other)[each.place]
        assert each.norms == pytest.approx((float(first.norm()), float(second.norm())))
        largest = max(each.norms)
        assert each.error == pytest.approx(float((first - second).norm()) / largest)


def test_alpha_counts(make):
    one = make(1, alpha=2.0)
    for each in compare(one, make(1, alpha=1.0)):
        assert each.error == pytest.approx(0.5)


def test_sites_of_one_alone(make):
    found = {each.place: each for each in compare(make(1, ("conv", "head")), make(1, ("conv",)))}
    assert found[site("head")].only == "first"
    assert found[site("head")].error == 1.0
    assert found[site("conv")].only is None


def test_a_site_of_one_alone_that_does_nothing_makes_no_difference(make):
    adapter = make(1, ("head",))
    delta = adapter.deltas[site("head")]
    idle = Lora(delta.down.data, torch.zeros_like(delta.up), 1.0)
    found = compare(replace(adapter, deltas={}), replace(adapter, deltas={site("head"): idle}))
    assert [(each.only, each.error) for each in found] == [("second", 0.0)]


def test_what_is_no_number_is_not_equal(make):
    one, other = make(1, ("head",)), make(1, ("head",))
    other.deltas[site("head")].up.data[0, 0] = float("nan")
    (found,) = compare(one, other)
    assert math.isnan(found.error)
    assert not found.error <= 1e-3
