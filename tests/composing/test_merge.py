"""Merging against the sum of the changes."""

from __future__ import annotations

import itertools

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from loraloom.adapters.adapter import Adapter
from loraloom.adapters.attachment import attach
from loraloom.adapters.card import Card
from loraloom.adapters.lora import Lora
from loraloom.composing import MergeSettings, Truncation, merge
from loraloom.errors import ModelError, UsageError
from tests.composing.conftest import assert_same_changes, changes, site

SVD = MergeSettings(mode="svd", truncation=Truncation(rule="energy", number=1.0))


def _sum(adapters, weights):
    """Return the weighted sum of changes, weight by weight, in float64."""
    total = {}
    for name, adapter in adapters.items():
        for where, change in changes(adapter).items():
            total[where] = total.get(where, 0) + weights[name] * change
    return total


@pytest.mark.parametrize("how", [MergeSettings(), SVD], ids=["cat", "svd"])
@pytest.mark.parametrize("weights", [(1.0, 1.0), (0.7, 0.3), (0.5, -1.7), (2.0, 0.25)], ids=str)
def test_a_merge_is_the_weighted_sum_of_changes(make, how, weights):
    adapters = {
        "a": make(1, rank=3, alpha=2.0),
        "b": make(2, rank=5, alpha=1.3),
        "c": make(3, ("head", "conv"), rank=2, alpha=4.0),
    }
    given = dict(zip(adapters, (*weights, 0.9), strict=True))
    merged = merge(adapters, given, how)
    assert_same_changes(changes(merged.adapter), _sum(adapters, given), 1e-6)
    assert {fit.rank for fit in merged.fits} == {8, 10}
    assert all(fit.energy == pytest.approx(1, abs=1e-12) for fit in merged.fits)


def test_one_adapter_at_1_is_itself(make):
    adapter = make(1)
    merged = merge({"a": adapter}, {"a": 1.0}).adapter
    assert merged.deltas.keys() == adapter.deltas.keys()
    for where, delta in adapter.deltas.items():
        assert merged.deltas[where] is delta


@pytest.mark.parametrize("how", [MergeSettings(), SVD], ids=["cat", "svd"])
def test_halves_of_one_adapter_are_it_again(make, how):
    adapter = make(1)
    halves = merge({"a": adapter, "b": adapter}, {"a": 0.5, "b": 0.5}, how).adapter
    assert_same_changes(changes(halves), changes(adapter), 1e-6)


def test_halves_of_one_adapter_keep_its_rank_by_svd(make):
    adapter = make(1, rank=3)
    default = MergeSettings(mode="svd")
    for how in (SVD, default):
        merged = merge({"a": adapter, "b": adapter}, {"a": 0.5, "b": 0.5}, how)
        assert {fit.rank for fit in merged.fits} == {3}
        assert_same_changes(changes(merged.adapter), changes(adapter), 1e-6)


def test_what_has_weight_0_leaves_nothing_not_even_its_rank(make):
    one, other = make(1, ("conv", "head")), make(2, ("head", "tokens"), rank=7)
    merged = merge({"a": one, "b": other}, {"a": 1.0, "b": 0.0}).adapter
    assert merged.deltas.keys() == one.deltas.keys()
    for where, delta in one.deltas.items():
        assert merged.deltas[where] is delta


@pytest.mark.parametrize("mode", ["cat", "svd", "ties", "dare", "magnitude"])
def test_the_order_of_adapters_makes_no_difference_to_any_bit(make, mode):
    adapters = {"a": make(1), "b": make(2, rank=4), "c": make(3, ("head", "conv"))}
    weights = {"a": 0.7, "b": -0.3, "c": 1.1}
    density = None if mode in ("cat", "svd") else 0.4
    how = MergeSettings(mode=mode, density=density, seed=3, normalize="sum1")
    first, *others = [
        merge({name: adapters[name] for name in order}, weights, how).adapter
        for order in itertools.permutations(adapters)
    ]
    for other in others:
        assert list(other.deltas) == list(first.deltas)
        for where, delta in first.deltas.items():
            for part, tensor in delta.parts().items():
                assert torch.equal(other.deltas[where].parts()[part], tensor)


@pytest.mark.parametrize("how", [MergeSettings(), SVD], ids=["cat", "svd"])
def test_merged_is_live(net, pictures, make, how):
    adapters = {"a": make(1), "b": make(2, rank=5), "c": make(3, ("head", "conv"))}
    weights = {"a": 0.7, "b": -1.2, "c": 0.4}
    merged = merge(adapters, weights, how).adapter
    base = net(pictures)
    with attach({"model": net}, adapters, weights):
        live = net(pictures)
    with attach({"model": net}, merged):
        found = net(pictures)
    assert (live - base).norm() > 0.1 * base.norm()
    assert (found - live).norm() <= 1e-6 * live.norm()


def test_weights_by_block(make):
    adapters = {"a": make(1), "b": make(2)}
    weights = {"a": {"model": 0.5, "model.head": 2.0}, "b": {"model.conv.weight": 1.0}}
    merged = changes(merge(adapters, weights).adapter)
    one, other = changes(adapters["a"]), changes(adapters["b"])
    expected = {
        site("conv"): 0.5 * one[site("conv")] + other[site("conv")],
        site("head"): 2.0 * one[site("head")],
        site("pointwise"): 0.5 * one[site("pointwise")],
        site("tokens"): 0.5 * one[site("tokens")],
    }
    assert_same_changes(merged, expected, 1e-6)


def test_a_linear_layer_and_a_convolution_of_one_pixel_are_one_weight(make):
    one = make(1, ("pointwise",))
    delta = one.deltas[site("pointwise")]
    flat = Lora(delta.down.flatten(1), delta.up.flatten(1), delta.alpha)
    other = type(one)(deltas={site("pointwise"): flat}, card=one.card)
    merged = merge({"a": one, "b": other}, {"a": 1.0, "b": 1.0}).adapter
    expected = {site("pointwise"): 2 * changes(one)[site("pointwise")]}
    assert_same_changes(changes(merged), expected, 1e-7)


# Exactness of concatenation.


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
def test_powers_of_two_leave_every_factor_exact(make, dtype):
    adapters = {"a": make(1, dtype=dtype), "b": make(2, dtype=dtype)}
    merged = merge(adapters, {"a": 1.0, "b": -0.25}).adapter
    for where, delta in merged.deltas.items():
        parts = delta.parts()
        assert parts["up"].dtype == parts["down"].dtype == dtype
        first, second = (adapters[name].deltas[where].parts() for name in "ab")
        assert torch.equal(parts["down"], torch.cat([first["down"], second["down"]]))
        assert torch.equal(parts["up"], torch.cat([4 * first["up"], -second["up"]], 1))
    assert_same_changes(changes(merged), _sum(adapters, {"a": 1.0, "b": -0.25}), 1e-15)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16])
def test_other_weights_round_one_factor_to_float32(make, dtype):
    adapters = {"a": make(1, dtype=dtype), "b": make(2, rank=2, alpha=0.7, dtype=dtype)}
    weights = {"a": 0.7, "b": 0.3}
    merged = merge(adapters, weights).adapter
    assert {delta.parts()["up"].dtype for delta in merged.deltas.values()} == {torch.float32}
    assert_same_changes(changes(merged), _sum(adapters, weights), 2**-24)


def test_equal_weights_below_1_stay_in_alpha(make):
    adapters = {"a": make(1), "b": make(2), "c": make(3)}
    merged = merge(adapters, dict.fromkeys(adapters, 0.3)).adapter
    for where, delta in merged.deltas.items():
        ups = [adapters[name].deltas[where].parts()["up"] for name in "abc"]
        assert torch.equal(delta.parts()["up"], torch.cat(ups, dim=1))
        assert delta.alpha / delta.rank == pytest.approx(0.3 * 2.0 / 3, rel=1e-15)


def test_what_would_underflow_is_kept_in_float32(make):
    tiny = make(1, dtype=torch.float16, rank=1)
    big = make(2, dtype=torch.float16, rank=4)
    merged = merge({"a": tiny, "b": big}, {"a": 2.0**-30, "b": 1.0}).adapter
    assert {delta.parts()["up"].dtype for delta in merged.deltas.values()} == {torch.float32}
    expected = _sum({"a": tiny, "b": big}, {"a": 2.0**-30, "b": 1.0})
    assert_same_changes(changes(merged), expected, 1e-15)


# Truncation.


def test_a_truncated_merge_is_the_nearest_of_its_rank(make):
    adapters = {"a": make(1, rank=4), "b": make(2, rank=4)}
    weights = {"a": 0.8, "b": 0.6}
    merged = merge(adapters, weights, MergeSettings(mode="svd", truncation=Truncation.to(3)))
    for fit in merged.fits:
        whole = _sum(adapters, weights)[fit.place].flatten(1)
        values = torch.linalg.svdvals(whole)
        kept = values[:3].square().sum() / values.square().sum()
        assert fit.rank == 3
        assert fit.energy == pytest.approx(float(kept), rel=1e-12)
        assert fit.error == pytest.approx(float((1 - kept).sqrt()), rel=1e-9)
        assert fit.strength == pytest.approx(fit.energy)
        found = changes(merged.adapter)[fit.place].flatten(1)
        error = (found - whole).norm() / whole.norm()
        assert float(error) == pytest.approx(fit.error, rel=1e-5)
        assert fit.norm == pytest.approx(float(whole.norm()), rel=1e-12)


def test_a_rank_by_energy_is_chosen_weight_by_weight(make):
    adapters = {"a": make(1, rank=4), "b": make(2, ("head",), rank=4)}
    how = MergeSettings(mode="svd", truncation=Truncation(rule="energy", number=0.9))
    merged = merge(adapters, {"a": 1.0, "b": 0.9}, how)
    for fit in merged.fits:
        values = torch.linalg.svdvals(_sum(adapters, {"a": 1.0, "b": 0.9})[fit.place].flatten(1))
        shares = values.square().cumsum(0) / values.square().sum()
        assert fit.rank == int((shares < 0.9).sum()) + 1
        assert fit.energy >= 0.9


# Normalisation.


def test_normalisation_is_off_unless_asked_for():
    assert MergeSettings().normalize == "none"


@pytest.mark.parametrize("mode", ["cat", "svd"])
def test_normalisations(make, mode):
    adapters = {"a": make(1), "b": make(2), "c": make(1)}
    weights = {"a": 0.7, "b": -0.4, "c": 0.9}
    plain = _sum(adapters, weights)

    def merged(normalize):
        truncation = Truncation.to(9) if mode == "svd" else None
        how = MergeSettings(mode=mode, normalize=normalize, truncation=truncation)
        return merge(adapters, weights, how)

    for normalize, divisor in (("sum1", 2.0), ("sqrt", (0.49 + 0.16 + 0.81) ** 0.5)):
        made = merged(normalize)
        expected = {where: change / divisor for where, change in plain.items()}
        assert_same_changes(changes(made.adapter), expected, 1e-6)
        assert all(fit.strength == pytest.approx(1 / divisor) for fit in made.fits)
    capped = changes(merged("max-fro").adapter)
    for where, change in plain.items():
        largest = max(
            float((weights[name] * changes(adapter)[where]).norm())
            for name, adapter in adapters.items()
        )
        assert float(change.norm()) > largest
        assert float(capped[where].norm()) == pytest.approx(largest, rel=1e-6)
        along = (capped[where] * change).sum() / capped[where].norm() / change.norm()
        assert float(along) == pytest.approx(1, abs=1e-9)
    alone = merge({"a": adapters["a"]}, {"a": 0.5}, MergeSettings(normalize="max-fro")).adapter
    half = {where: 0.5 * change for where, change in changes(adapters["a"]).items()}
    assert_same_changes(changes(alone), half, 1e-7)


# Properties.

NUMBERS = st.floats(-2, 2, allow_subnormal=False).filter(lambda number: abs(number) > 1e-3)


MEMBERS = st.fixed_dictionaries(
    {
        "rank": st.integers(1, 6),
        "alpha": NUMBERS,
        "weight": NUMBERS,
        "dtype": st.sampled_from([torch.float32, torch.float16, torch.bfloat16]),
    }
)
GROUPS = st.tuples(
    st.lists(MEMBERS, min_size=1, max_size=4),
    st.tuples(st.integers(1, 9), st.integers(1, 9)),
    st.integers(0, 99),
)


def _group(members, sides, seed):
    """Return adapters for one weight, of any rank, alpha and number type, and their weights."""
    generator = torch.Generator().manual_seed(seed)
    adapters = {}
    for name, member in zip("abcd", members, strict=False):
        down = torch.randn(member["rank"], sides[1], generator=generator).to(member["dtype"])
        up = torch.randn(sides[0], member["rank"], generator=generator).to(member["dtype"])
        deltas = {site("x"): Lora(down, up, member["alpha"])}
        adapters[name] = Adapter(deltas=deltas, card=Card(family=""))
    weights = {name: member["weight"] for name, member in zip(adapters, members, strict=True)}
    return adapters, weights


@given(GROUPS, st.sampled_from([MergeSettings(), SVD]))
@settings(max_examples=60)
def test_any_merge_is_the_sum(group, how):
    adapters, weights = _group(*group)
    found = changes(merge(adapters, weights, how).adapter)[site("x")]
    terms = [weights[name] * changes(each)[site("x")] for name, each in adapters.items()]
    # Terms may cancel: what float32 loses is lost of each of them.
    largest = max(float(term.norm()) for term in terms)
    assert float((found - sum(terms)).norm()) <= 1e-6 * max(largest, 1e-6)


@given(GROUPS, st.floats(0.05, 1.0))
@settings(max_examples=40)
def test_a_truncated_merge_keeps_the_energy_that_it_tells(group, share):
    adapters, weights = _group(*group)
    how = MergeSettings(mode="svd", truncation=Truncation(rule="energy", number=share))
    made = merge(adapters, weights, how)
    whole = sum(weights[name] * changes(each)[site("x")] for name, each in adapters.items())
    (fit,) = made.fits
    assert fit.energy >= share - 1e-9
    lost = float((changes(made.adapter)[site("x")] - whole).norm() / whole.norm())
    assert lost == pytest.approx(fit.error, abs=2e-6)


# What is refused.


def test_weights_and_adapters_must_match(make):
    with pytest.raises(UsageError) as caught:
        merge({"a": make(1)}, {"a": 1.0, "b": 0.5})
    assert caught.value.code == "composing.weight_names"


@pytest.mark.parametrize("weight", [float("nan"), float("inf")])
def test_a_weight_is_a_finite_number(make, weight):
    with pytest.raises(UsageError) as caught:
        merge({"a": make(1)}, {"a": weight})
    assert caught.value.code == "composing.weight"


@pytest.mark.parametrize("block", ["model.hea", "head", "model.head.weight.x"])
def test_a_block_that_no_weight_is_in_is_refused(make, block):
    with pytest.raises(UsageError) as caught:
        merge({"a": make(1)}, {"a": {block: 1.0}})
    assert caught.value.code == "composing.no_block"
    assert block in str(caught.value)


def test_nothing_to_merge_is_refused(make):
    with pytest.raises(UsageError) as caught:
        merge({"a": make(1), "b": make(2)}, {"a": 0.0, "b": 0.0})
    assert caught.value.code == "composing.nothing"


def test_adapters_for_other_shapes_are_refused(make):
    one, other = make(1, ("tokens",)), make(2, ("head",))
    swapped = type(other)(deltas={site("tokens"): other.deltas[site("head")]}, card=other.card)
    with pytest.raises(ModelError) as caught:
        merge({"a": one, "b": swapped}, {"a": 1.0, "b": 1.0})
    assert caught.value.code == "composing.shapes"
    assert all(
        word in str(caught.value) for word in ("model.tokens.weight", "(32, 16)", "(24, 32)")
    )


@pytest.mark.parametrize(
    ("chosen", "code"),
    [
        ({"mode": "linear"}, "composing.no_mode"),
        ({"normalize": "mean"}, "composing.no_normalizer"),
        ({"truncation": Truncation.to(4)}, "composing.cat_rank"),
        ({"mode": "ties"}, "composing.density_needed"),
        ({"density": 0.5}, "composing.density_mode"),
        ({"mode": "dare", "density": 0.0}, "composing.density"),
        ({"mode": "dare", "density": 1.5}, "composing.density"),
        ({"scale": float("nan")}, "composing.scale"),
    ],
)
def test_settings_that_do_not_go_together(chosen, code):
    with pytest.raises(UsageError) as caught:
        MergeSettings(**chosen)
    assert caught.value.code == code
