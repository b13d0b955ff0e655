"""Merging, comparing and lowering adapters of every kind."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from loraloom.adapters.adapter import Adapter
from loraloom.adapters.attachment import attach
from loraloom.adapters.card import Card
from loraloom.adapters.full import Full
from loraloom.adapters.kinds import KINDS
from loraloom.adapters.lora import Lora
from loraloom.adapters.site import Site
from loraloom.adapters.span import Span
from loraloom.composing import (
    BaseWeights,
    MergeSettings,
    Truncation,
    approximate,
    compare,
    inspect,
    interference,
    merge,
    resize,
)
from loraloom.errors import ModelError, UsageError
from tests.composing.conftest import LAYERS, assert_same_changes, changes, random_delta, site

SIMPLE = tuple(kind for kind in KINDS if not KINDS[kind].needs_weight)
OTHERS = tuple(kind for kind in KINDS if KINDS[kind].needs_weight)


@pytest.fixture
def weights(net):
    """Return the network's weights by site."""
    return {site(layer): net.get_submodule(layer).weight for layer in LAYERS}


@pytest.fixture
def of_kind(weights):
    """Return a maker of adapters of one kind on all layers."""

    def adapter(kind, seed, layers=LAYERS):
        deltas = {site(layer): random_delta(kind, weights[site(layer)], seed) for layer in layers}
        return Adapter(deltas=deltas, card=Card(family="", name=kind))

    return adapter


def _mixed_sum(adapters, given, weights):
    total = {}
    for name, adapter in adapters.items():
        for where, change in changes(adapter, weights).items():
            shaped = change.reshape(weights[where].shape)
            total[where] = total.get(where, 0) + given[name] * shaped
    return total


def test_the_lists_of_kinds_are_not_empty():
    assert len(SIMPLE) >= 4
    assert len(OTHERS) >= 6


@pytest.mark.parametrize("kind", SIMPLE)
@pytest.mark.parametrize("mode", ["cat", "svd"])
def test_kinds_that_add_merge_with_loras_as_the_sum(make, of_kind, weights, kind, mode):
    adapters = {"a": make(1), "b": of_kind(kind, 2)}
    given = {"a": 0.7, "b": -1.3}
    truncation = Truncation(rule="energy", number=1.0) if mode == "svd" else None
    settings = MergeSettings(mode=mode, truncation=truncation)
    expected = _mixed_sum(adapters, given, weights)
    for base in (None, BaseWeights.of(weights)):
        merged = merge(adapters, given, settings, base).adapter
        found = changes(merged, weights)
        shaped = {where: change.reshape(weights[where].shape) for where, change in found.items()}
        assert_same_changes(shaped, expected, 1e-6)


@pytest.mark.parametrize("kind", KINDS)
def test_one_adapter_at_1_is_itself_whatever_its_kind(of_kind, kind):
    adapter = of_kind(kind, 1)
    merged = merge({"a": adapter}, {"a": 1.0}).adapter
    assert dict(merged.deltas) == dict(adapter.deltas)


@pytest.mark.parametrize("kind", SIMPLE)
def test_another_strength_of_one_adapter_is_of_its_own_kind(of_kind, weights, kind):
    adapter = of_kind(kind, 1)
    merged = merge({"a": adapter}, {"a": -0.6}).adapter
    assert {delta.kind for delta in merged.deltas.values()} == {kind}
    expected = {where: -0.6 * change for where, change in changes(adapter).items()}
    assert_same_changes(changes(merged), expected, 1e-6)


@pytest.mark.parametrize("kind", OTHERS)
def test_kinds_that_depend_on_the_base_merge_with_it(net, pictures, make, of_kind, weights, kind):
    adapters = {"a": make(1), "b": of_kind(kind, 2), "c": of_kind("loha", 3, ("head",))}
    given = {"a": 0.5, "b": 0.8, "c": 0.3}
    with pytest.raises(ModelError) as caught:
        merge(adapters, given)
    assert caught.value.code == "composing.needs_base"
    assert all(word in str(caught.value) for word in ('"b"', kind, "model.", "--base"))
    merged = merge(adapters, given, base=BaseWeights.of(weights)).adapter
    assert_same_changes(changes(merged), _mixed_sum(adapters, given, weights), 1e-6)
    with attach({"model": net}, adapters, given):
        live = net(pictures)
    with attach({"model": net}, merged):
        found = net(pictures)
    assert (found - live).norm() <= 1e-6 * live.norm()


@pytest.mark.parametrize("law", ["peft", "lycoris"])
def test_the_law_of_strength_is_attachs(net, pictures, of_kind, weights, law):
    adapters = {"a": of_kind("dora", 1), "b": of_kind("loha", 2)}
    given = {"a": 0.5, "b": 0.3}
    settings = MergeSettings(law=law)
    merged = merge(adapters, given, settings, BaseWeights.of(weights)).adapter
    with attach({"model": net}, adapters, given, law=law):
        live = net(pictures)
    with attach({"model": net}, merged):
        found = net(pictures)
    assert (found - live).norm() <= 1e-6 * live.norm()
    doubled = MergeSettings(law=law, scale=2.0)
    alone = merge({"a": adapters["a"]}, {"a": 0.5}, doubled, BaseWeights.of(weights)).adapter
    with attach({"model": net}, alone, 0.5):
        found = net(pictures)
    with attach({"model": net}, adapters["a"], 0.5, law=law):
        live = net(pictures)
    assert (found - live).norm() <= 1e-6 * live.norm()
    linear = merge(adapters, given, base=BaseWeights.of(weights)).adapter
    assert max(each.error for each in compare(merged, linear)) > 0.01


def test_a_base_without_the_weight_is_named(of_kind, weights):
    adapter = of_kind("dora", 1)
    del weights[site("head")]
    with pytest.raises(ModelError) as caught:
        merge({"a": adapter}, {"a": 0.5}, base=BaseWeights.of(weights))
    assert caught.value.code == "composing.not_in_base"
    assert "model.head.weight" in str(caught.value)


def test_a_low_rank_sum_with_a_loha_stays_low_rank(make, of_kind, weights):
    """A LoHa of rank r is a LoRA of rank r squared: 4 and 3 make 7 at most, not a full matrix."""
    adapters = {"a": make(1, ("head",)), "b": of_kind("loha", 2, ("head",))}
    merged = merge(adapters, {"a": 1.0, "b": 1.0}).adapter
    delta = merged.deltas[site("head")]
    assert (delta.kind, delta.rank) == ("lora", 7)


def test_a_middle_factor_is_merged(make, weights):
    generator = torch.Generator().manual_seed(5)
    down = torch.randn(2, 4, 1, 1, generator=generator)
    mid = torch.randn(2, 2, 3, 3, generator=generator)
    tucker = Lora(down, torch.randn(32, 2, 1, 1, generator=generator), 1.0, mid)
    other = make(1, ("conv",))
    adapters = {"a": other, "b": replace(other, deltas={site("conv"): tucker})}
    given = {"a": 0.5, "b": 2.0}
    for settings in (MergeSettings(), MergeSettings(mode="svd", truncation=Truncation.to(5))):
        merged = merge(adapters, given, settings).adapter
        assert merged.deltas[site("conv")].rank == 5
        assert_same_changes(changes(merged), _mixed_sum(adapters, given, weights), 1e-6)
    resized = resize(adapters["b"], Truncation.to(2)).adapter
    assert_same_changes(changes(resized), changes(adapters["b"]), 1e-6)


def test_biases_and_norms_merge_as_differences(make):
    bias = Site("model", "tokens.bias")
    generator = torch.Generator().manual_seed(5)
    one, other = torch.randn(32, generator=generator), torch.randn(32, generator=generator)
    adapters = {
        "a": Adapter(deltas={bias: Full(one)}, card=Card(family="")),
        "b": replace(make(1), deltas={**make(1).deltas, bias: Full(other)}),
    }
    for settings in (MergeSettings(), MergeSettings(mode="svd")):
        merged = merge(adapters, {"a": 0.5, "b": -2.0}, settings).adapter
        torch.testing.assert_close(merged.deltas[bias].diff.data, 0.5 * one - 2 * other)


def test_an_svd_merge_without_a_rank_needs_changes_that_have_one(make, of_kind):
    adapters = {"a": make(1, ("head",)), "b": of_kind("full", 2, ("head",))}
    with pytest.raises(UsageError) as caught:
        merge(adapters, {"a": 1.0, "b": 1.0}, MergeSettings(mode="svd"))
    assert caught.value.code == "composing.svd_rank"


# Spans.

Q, K, V = (Site("model", f"{name}.weight") for name in "qkv")


@pytest.fixture
def spanned():
    """Return an adapter with a LoKr on q, k and v together, the base, and what it does to each."""
    generator = torch.Generator().manual_seed(3)
    rows = {Q: 6, K: 6, V: 12}
    weights = {where: torch.randn(count, 16, generator=generator) for where, count in rows.items()}
    whole = torch.cat(list(weights.values()))
    delta = random_delta("lokr", whole, 4)
    adapter = Adapter(deltas={Span((Q, K, V)): delta}, card=Card(family=""))
    parts = dict(zip(rows, delta.delta(whole).double().split(list(rows.values())), strict=True))
    return adapter, weights, parts


def test_a_span_that_all_have_whole_stays_whole(spanned):
    adapter, _, parts = spanned
    merged = merge({"a": adapter, "b": adapter}, {"a": 0.5, "b": 1.0}).adapter
    assert list(merged.deltas) == [Span((Q, K, V))]
    whole = torch.cat(list(parts.values()))
    assert_same_changes(changes(merged), {Span((Q, K, V)): 1.5 * whole}, 1e-6)


def test_a_span_is_cut_where_another_adapter_has_its_sites(spanned):
    adapter, weights, parts = spanned
    generator = torch.Generator().manual_seed(5)
    down, up = torch.randn(2, 16, generator=generator), torch.randn(6, 2, generator=generator)
    single = Adapter(deltas={K: Lora(down, up, 2.0)}, card=Card(family=""))
    adapters, given = {"a": adapter, "b": single}, {"a": 0.5, "b": 2.0}
    with pytest.raises(ModelError) as caught:
        merge(adapters, given)
    assert caught.value.code == "composing.rows"
    expected = {where: 0.5 * part for where, part in parts.items()}
    expected[K] = expected[K] + 2.0 * (up @ down).double()
    merged = merge(adapters, given, base=BaseWeights.of(weights)).adapter
    assert_same_changes(changes(merged), expected, 1e-6)
    told = replace(adapter, deltas={Span((Q, K, V), (6, 6, None)): adapter.deltas[Span((Q, K, V))]})
    merged = merge({"a": told, "b": single}, given).adapter
    assert_same_changes(changes(merged), expected, 1e-6)
    wrong = replace(adapter, deltas={Span((Q, K, V), (6, 6, 6)): adapter.deltas[Span((Q, K, V))]})
    with pytest.raises(ModelError) as caught:
        merge({"a": wrong, "b": single}, given)
    assert caught.value.code == "composing.row_sum"


def test_a_span_is_cut_where_its_sites_have_different_weights(spanned):
    adapter, weights, parts = spanned
    given = {"a": {"model.q": 1.0, "model.v": -2.0}}
    merged = merge({"a": adapter}, given, base=BaseWeights.of(weights)).adapter
    assert_same_changes(changes(merged), {Q: parts[Q], V: -2.0 * parts[V]}, 1e-6)


@pytest.mark.parametrize("told", [False, True])
def test_a_span_is_lowered_to_loras_of_its_sites(spanned, told):
    adapter, weights, parts = spanned
    span = Span((Q, K, V), (6, 6, None) if told else ())
    adapter = replace(adapter, deltas={span: adapter.deltas[Span((Q, K, V))]})
    base = None if told else BaseWeights.of(weights)
    made = approximate(adapter, Truncation.to(3), base)
    assert list(made.adapter.deltas) == [Q, K, V]
    whole = torch.cat(list(parts.values()))
    values = torch.linalg.svdvals(whole)
    found = changes(made.adapter)
    lost = torch.cat([found[where] - part for where, part in parts.items()])
    assert float(lost.norm()) == pytest.approx(float(values[3:].norm()), rel=1e-5)
    for fit in made.fits:
        error = (found[fit.place] - parts[fit.place]).norm() / parts[fit.place].norm()
        assert fit.error == pytest.approx(float(error), rel=1e-5)
    again = approximate(
        replace(adapter, deltas={span: _stacked(made.adapter)}), Truncation.to(1), base
    )
    assert_same_changes(changes(again.adapter), found, 1e-6)


def _stacked(adapter):
    """Return the LoRA of a whole span from those of its sites."""
    loras = [adapter.deltas[where] for where in (Q, K, V)]
    assert all(torch.equal(lora.down, loras[0].down) for lora in loras)
    return Lora(loras[0].down.data, torch.cat([lora.up.data for lora in loras]), loras[0].alpha)


def test_a_span_of_unknown_rows_is_lowered_whole(spanned):
    adapter, _, _ = spanned
    made = approximate(adapter, Truncation.to(3)).adapter
    assert list(made.deltas) == [Span((Q, K, V))]


# The other tools.


@pytest.mark.parametrize("number", [float("nan"), float("inf")])
def test_numbers_that_are_not_finite_are_refused_where_they_would_spread(make, number):
    adapter = make(1)
    adapter.deltas[site("tokens")].up.data[0, 0] = number
    for tool in (
        lambda: resize(adapter, Truncation.to(2)),
        lambda: merge({"a": adapter}, {"a": 1.0}, MergeSettings(mode="svd")),
        lambda: merge({"a": adapter}, {"a": 1.0}, MergeSettings(mode="ties", density=0.5)),
        lambda: interference({"a": adapter, "b": make(2)}),
    ):
        with pytest.raises(ModelError) as caught:
            tool()
        assert caught.value.code == "adapter.not_finite"
        assert "model.tokens.weight" in str(caught.value)


@pytest.mark.parametrize("kind", KINDS)
def test_any_kind_is_approximated_by_loras_with_its_error(make, of_kind, weights, kind):
    adapter = of_kind(kind, 1)
    made = approximate(adapter, Truncation.to(4), BaseWeights.of(weights))
    exact, found = changes(adapter, weights), changes(made.adapter)
    for fit in made.fits:
        assert fit.kind == "lora"
        change = exact[fit.place].reshape(weights[fit.place].shape)
        values = torch.linalg.svdvals(change.flatten(1))
        error = (found[fit.place] - change).norm() / change.norm()
        assert float(error) == pytest.approx(fit.error, abs=1e-5)
        assert fit.error == pytest.approx(float(values[4:].norm() / values.norm()), abs=2e-6)


def test_approximating_leaves_loras_and_biases_alone(make):
    lora = make(1)
    bias = Full(torch.ones(32))
    adapter = replace(lora, deltas={**lora.deltas, Site("model", "tokens.bias"): bias})
    made = approximate(adapter, Truncation.to(1)).adapter
    assert dict(made.deltas) == dict(adapter.deltas)


@pytest.mark.parametrize("kind", OTHERS)
def test_tools_say_that_they_need_the_base(make, of_kind, weights, kind):
    adapter = of_kind(kind, 1)
    for tool in (
        lambda: approximate(adapter, Truncation.to(2)),
        lambda: compare(adapter, make(1)),
        lambda: interference({"a": adapter, "b": make(1)}),
    ):
        with pytest.raises(ModelError) as caught:
            tool()
        assert caught.value.code == "composing.needs_base"
    assert all(each.error == 0 for each in compare(adapter, of_kind(kind, 1)))
    assert set(inspect(adapter).norms.values()) == {None}
    norms = inspect(adapter, BaseWeights.of(weights)).norms
    for where, change in changes(adapter, weights).items():
        assert norms[where] == pytest.approx(float(change.norm()), rel=1e-5)


@pytest.mark.parametrize("kind", SIMPLE)
def test_a_kind_compares_equal_to_its_full_difference(of_kind, kind):
    adapter = of_kind(kind, 1)
    full = replace(adapter, deltas={w: Full(c.float()) for w, c in changes(adapter).items()})
    found = compare(adapter, full)
    assert len(found) == len(LAYERS)
    assert max(each.error for each in found) < 1e-6
    further = replace(full, deltas={w: Full(1.01 * d.diff) for w, d in full.deltas.items()})
    for each in compare(adapter, further):
        assert each.error == pytest.approx(0.01 / 1.01, rel=1e-3)
