"""What holds for the sum of any adapters on any weight, of whatever kinds and number types."""

from __future__ import annotations

import itertools

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from loraloom.adapters.adapter import Adapter
from loraloom.adapters.attachment import attach
from loraloom.adapters.card import Card
from loraloom.adapters.site import Site
from loraloom.composing import BaseWeights, MergeSettings, Truncation, fuse, in_memory, merge
from loraloom.composing.rescaling import rescaled
from loraloom.formats.naming.meaning import Meaning
from tests.formats.arbitrary import FORMS, planned

NAME, SITE = "layer.weight", Site("model", "layer.weight")
MEANINGS = {NAME: Meaning(sites=(SITE,))}
EVERY_FORM = frozenset(FORMS)
SCALED = frozenset({"lora", "lora tucker", "loha", "loha tucker", "lokr divided", "full"})
STRENGTHS = st.floats(-2, 2, width=32, allow_subnormal=False).filter(lambda s: abs(s) > 1e-2)
DTYPES = st.sampled_from([torch.float32, torch.float16, torch.bfloat16, torch.float64])


def _layer(size, dtype=torch.float32):
    """Return a layer with a weight of that size, and inputs for it."""
    generator = torch.Generator().manual_seed(3)
    if size.kernel:
        layer = nn.Conv2d(size.columns, size.rows, size.kernel)
        x = torch.randn(2, size.columns, 4, 5, generator=generator)
    else:
        layer, x = nn.Linear(size.columns, size.rows), torch.randn(3, size.columns)
    with torch.no_grad():
        layer.weight.copy_(torch.randn(layer.weight.shape, generator=generator) / 3)
    return nn.ModuleDict({"layer": layer}).requires_grad_(False).to(dtype), x.to(dtype)


@st.composite
def _several(draw, forms=EVERY_FORM):
    """Draw up to three deltas for one weight, to be made later, and a strength for each."""
    first = draw(planned(forms))
    rest = draw(
        st.lists(planned(forms, (first.size.kernel,)), max_size=2)
        if first.size.kernel
        else st.lists(planned(forms, ((),)), max_size=2)
    )
    plans = [first, *(each.resized(first.size) for each in rest)]
    return plans, [draw(STRENGTHS) for _ in plans]


def _worn(plans, strengths):
    adapters = {
        name: Adapter(deltas={SITE: plan.made()}, card=Card(family="", name=name))
        for name, plan in zip("abc", plans, strict=False)
    }
    return adapters, dict(zip(adapters, strengths, strict=True))


def _expected(weight, adapters, strengths):
    """Return what the weight becomes, in float64, and the largest of what is added up there."""
    exact = weight.double()
    terms = [
        strengths[name] * adapter.deltas[SITE].double().delta(exact).reshape(weight.shape)
        for name, adapter in adapters.items()
    ]
    return exact + sum(terms), max(float(each.abs().max()) for each in (exact, *terms))


def _fused(network, adapters, strengths):
    checkpoint = fuse(in_memory(network.state_dict()), MEANINGS, adapters, strengths)
    return checkpoint[NAME].read()


@given(_several(), DTYPES)
@settings(max_examples=50)
def test_a_weight_becomes_itself_and_the_sum_of_all_changes(drawn, dtype):
    """W' = W + sum of s * delta(W), computed in float32 at least and rounded once."""
    adapters, strengths = _worn(*drawn)
    network, _ = _layer(drawn[0][0].size, dtype)
    weight = network["layer"].weight
    kept = weight.clone()
    expected, largest = _expected(weight, adapters, strengths)
    found = _fused(network, adapters, strengths)
    assert found.dtype == dtype
    assert torch.equal(weight, kept)
    # One rounding of the sum, and those of the sum's terms in float32.
    bound = torch.finfo(dtype).eps * expected.abs() + 3e-6 * largest
    assert bool(((found.double() - expected).abs() <= bound).all())


@given(_several())
@settings(max_examples=25)
def test_the_order_of_adapters_changes_no_bit(drawn):
    adapters, strengths = _worn(*drawn)
    network, x = _layer(drawn[0][0].size)
    orders = list(itertools.permutations(adapters))
    fused = [
        _fused(network, {name: adapters[name] for name in order}, strengths) for order in orders
    ]
    assert all(torch.equal(each, fused[0]) for each in fused)
    lives = []
    for order in orders:
        with attach({"model": network}, {name: adapters[name] for name in order}, strengths):
            lives.append(network["layer"](x))
    for live in lives:
        torch.testing.assert_close(live, lives[0], rtol=1e-5, atol=1e-5)


@given(_several(), DTYPES)
@settings(max_examples=40)
def test_worn_merged_and_fused_are_one_and_leave_no_trace(drawn, dtype):
    """In float32 within its rounding; and in every type the layer is itself again afterwards."""
    adapters, strengths = _worn(*drawn)
    network, x = _layer(drawn[0][0].size, dtype)
    layer = network["layer"]
    weight, before = layer.weight.clone(), layer(x)
    with attach({"model": network}, adapters, strengths):
        live = layer(x)
    assert torch.equal(layer.weight, weight)
    assert torch.equal(layer(x), before)
    with attach({"model": network}, adapters, dict.fromkeys(adapters, 0.0)):
        assert torch.equal(layer(x), before)
    if dtype is not torch.float32:
        return
    base = BaseWeights.of({SITE: weight})
    merged = merge(adapters, strengths, base=base).adapter
    with attach({"model": network}, merged):
        again = layer(x)
    layer.weight.copy_(_fused(network, adapters, strengths))
    size = max(float(each.norm()) for each in (live, before))
    assert float((again - live).norm()) <= 1e-5 * size
    assert float((layer(x) - live).norm()) <= 1e-5 * size


@given(planned(EVERY_FORM), STRENGTHS)
@settings(max_examples=40)
def test_a_change_is_in_proportion_to_its_strength(plan, strength):
    """The line from W at 0 to W + delta(W) at 1: nothing bends it, whatever the kind."""
    network, _ = _layer(plan.size, torch.float64)
    weight = network["layer"].weight
    delta = plan.made().double()
    whole = delta.delta(weight)
    half, rest = delta.lawful(weight, strength, "linear"), delta.lawful(weight, 0.0, "linear")
    torch.testing.assert_close(half, strength * whole, rtol=1e-12, atol=1e-12)
    assert not rest.any()
    for law in ("peft", "lycoris"):
        torch.testing.assert_close(delta.lawful(weight, 1.0, law), whole, rtol=1e-9, atol=1e-9)


@given(planned(SCALED), STRENGTHS)
@settings(max_examples=40)
def test_a_scale_put_into_the_numbers_can_be_taken_out_again(plan, factor):
    delta = plan.made()
    weight = torch.zeros(plan.size.shape)
    assert rescaled(delta, 1.0) is delta
    once = rescaled(delta, factor)
    torch.testing.assert_close(
        once.delta(weight).double(), factor * delta.delta(weight).double(), rtol=1e-5, atol=1e-6
    )
    back = rescaled(once, 1 / factor)
    torch.testing.assert_close(back.delta(weight), delta.delta(weight), rtol=1e-5, atol=1e-6)
    power = rescaled(rescaled(delta, 4.0), 0.25)
    assert torch.equal(power.delta(weight), delta.delta(weight))


@given(
    planned(EVERY_FORM),
    st.sampled_from(
        [
            MergeSettings(),
            MergeSettings(mode="svd", truncation=Truncation(rule="energy", number=1.0)),
        ]
    ),
)
@settings(max_examples=40)
def test_merging_what_was_merged_changes_nothing_more(plan, how):
    network, _ = _layer(plan.size)
    base = BaseWeights.of({SITE: network["layer"].weight})
    adapter = Adapter(deltas={SITE: plan.made()}, card=Card(family=""))
    once = merge({"a": adapter}, {"a": 1.0}, how, base).adapter
    twice = merge({"a": once}, {"a": 1.0}, how, base).adapter
    first, second = (
        each.deltas[SITE].delta(network["layer"].weight).double() for each in (once, twice)
    )
    whole = adapter.deltas[SITE].delta(network["layer"].weight).double()
    size = max(float(whole.norm()), 1e-6)
    assert float((first.reshape(whole.shape) - whole).norm()) <= 1e-5 * size
    assert float((second - first).norm()) <= 1e-5 * size


@given(_several(frozenset({"lora", "lora tucker", "loha", "lokr", "full"})), st.integers(0, 9))
@settings(max_examples=25)
def test_every_way_to_merge_tells_what_it_kept_of_the_sum(drawn, seed):
    """Energy and error are of what was written, against the weighted sum, however it was made."""
    adapters, strengths = _worn(*drawn)
    weight = torch.zeros(drawn[0][0].size.shape)
    whole = _expected(weight, adapters, strengths)[0]
    for mode in ("cat", "svd", "ties", "dare", "dare_ties", "magnitude"):
        low = Truncation.to(2)
        how = MergeSettings(
            mode=mode,
            truncation=low if mode == "svd" else None,
            density=None if mode in ("cat", "svd") else 0.4,
            seed=seed,
        )
        made = merge(adapters, strengths, how)
        (fit,) = made.fits
        found = made.adapter.deltas[SITE].delta(weight).double().reshape(whole.shape)
        error = float((found - whole).norm() / whole.norm())
        assert fit.error == pytest.approx(error, rel=1e-4, abs=1e-5), mode
