"""What an inspection finds, and what it leaves alone."""

from __future__ import annotations

import math

import pytest
import torch

from loraloom.adapters.adapter import Adapter
from loraloom.adapters.card import Card
from loraloom.adapters.lora import Lora
from loraloom.adapters.site import Site
from loraloom.composing import inspect


@pytest.fixture
def adapter():
    """Return a LoRA on twenty layers of different sizes, of about one strength."""
    generator = torch.Generator().manual_seed(0)
    deltas = {}
    for number in range(20):
        rows, columns = 20 + 3 * number, 90 - 4 * number
        down = torch.randn(4, columns, generator=generator)
        up = torch.randn(rows, 4, generator=generator)
        deltas[Site("unet", f"layers.{number}.weight")] = Lora(down, up, 4.0)
    return Adapter(deltas=deltas, card=Card(family=""))


def _at(adapter, number):
    where = Site("unet", f"layers.{number}.weight")
    return where, adapter.deltas[where]


def test_nothing_is_found_in_a_sound_adapter(adapter):
    found = inspect(adapter)
    assert found.findings == ()
    for where, norm in found.norms.items():
        delta = adapter.deltas[where]
        assert norm == pytest.approx(float((delta.up @ delta.down).norm()), rel=1e-5)


def test_numbers_that_are_none_are_counted_by_part(adapter):
    where, delta = _at(adapter, 3)
    delta.up.data[0, :2] = math.nan
    delta.down.data[1, 5] = -math.inf
    found = inspect(adapter)
    assert [(f.place, f.code, f.part, f.count) for f in found.findings] == [
        (where, "infinite", "down", 1),
        (where, "not_a_number", "up", 2),
    ]
    assert found.norms[where] is None


def test_a_change_of_zero_is_found(adapter):
    where, delta = _at(adapter, 7)
    delta.up.data.zero_()
    (finding,) = inspect(adapter).findings
    assert (finding.place, finding.code) == (where, "zero")


@pytest.mark.parametrize("times", [30.0, 1 / 30])
def test_a_norm_that_is_far_off_is_found(adapter, times):
    where, delta = _at(adapter, 11)
    delta.up.data.mul_(times)
    (finding,) = inspect(adapter).findings
    assert (finding.place, finding.code) == (where, "outlier")
    assert finding.times == pytest.approx(times, rel=0.2)


def test_few_weights_have_no_outliers(adapter):
    few = Adapter(deltas=dict(list(adapter.deltas.items())[:7]), card=adapter.card)
    next(iter(few.deltas.values())).up.data.mul_(1000)
    assert inspect(few).findings == ()


def test_the_rule_is_the_modified_z_score(adapter):
    """0.6745 |x - median| / MAD > 3.5, of the logarithm of the root mean square; MAD over 0.1."""
    _, delta = _at(adapter, 11)
    sizes = [
        math.log(float((d.up @ d.down).square().mean().sqrt())) for d in adapter.deltas.values()
    ]
    middle = sorted(sizes)
    median = (middle[9] + middle[10]) / 2
    spread = sorted(abs(size - median) for size in sizes)
    mad = max(0.1, (spread[9] + spread[10]) / 2)
    own = math.log(float((delta.up @ delta.down).square().mean().sqrt()))
    for slack, count in ((-0.05, 0), (0.05, 1)):
        factor = math.exp(median + 3.5 * mad / 0.6745 - own + slack)
        delta.up.data.mul_(factor)
        found = [finding.code for finding in inspect(adapter).findings]
        assert found == ["outlier"] * count, slack
        delta.up.data.div_(factor)
