"""What the incumbents make of a merge, and what ours makes of the same."""

from __future__ import annotations

import copy

import pytest
import torch
from peft import LoraConfig, PeftModel, get_peft_model
from torch import nn

from loraloom.adapters.adapter import Adapter
from loraloom.adapters.attachment import attach
from loraloom.adapters.card import Card
from loraloom.adapters.lora import Lora
from loraloom.composing import MergeSettings, Truncation, merge
from loraloom.composing.base_weights import BaseWeights
from loraloom.formats.files import read_adapter, write_adapter
from tests.composing.conftest import assert_same_changes, changes, site

WHERE = site("tokens")


def _adapter(delta):
    return Adapter(deltas={WHERE: delta}, card=Card(family=""))


def _pair(rank=16, alpha=16.0):
    """Return two unrelated LoRAs on one linear layer of 96 to 64."""
    generator = torch.Generator().manual_seed(0)
    return {
        name: _adapter(
            Lora(
                torch.randn(rank, 96, generator=generator),
                torch.randn(64, rank, generator=generator),
                alpha,
            )
        )
        for name in ("first", "second")
    }


def _sum(adapters, weights):
    return {WHERE: sum(weights[name] * changes(each)[WHERE] for name, each in adapters.items())}


def _error(found, expected):
    return float((found[WHERE] - expected[WHERE]).norm() / expected[WHERE].norm())


def _peft_merge(ours, weights, **how):
    """Return the change that PEFT's add_weighted_adapter makes of LoRAs on one linear layer."""
    model = nn.Sequential()
    first = next(iter(ours.values())).deltas[WHERE]
    model.add_module("tokens", nn.Linear(first.down.shape[1], first.up.shape[0]))
    peft = None
    for name, adapter in ours.items():
        delta = adapter.deltas[WHERE]
        config = LoraConfig(r=delta.rank, lora_alpha=delta.alpha, target_modules=["tokens"])
        if peft is None:
            peft = get_peft_model(model, config, adapter_name=name)
        else:
            peft.add_adapter(name, config)
        layer = peft.base_model.model.tokens
        layer.lora_A[name].weight.data = delta.parts()["down"].clone()
        layer.lora_B[name].weight.data = delta.parts()["up"].clone()
    torch.manual_seed(0)
    peft.add_weighted_adapter(list(ours), list(weights.values()), "merged", **how)
    return {WHERE: peft.base_model.model.tokens.get_delta_weight("merged").double()}


@pytest.mark.parametrize("how", ["cat", "svd"])
def test_pefts_exact_ways_agree_with_ours(how):
    """Alpha is half the rank: a merge that scales twice, or not at all, would show."""
    ours, weights = _pair(rank=8, alpha=4.0), {"first": 0.7, "second": -0.3}
    rank = {"svd_rank": 16} if how == "svd" else {}
    theirs = _peft_merge(ours, weights, combination_type=how, **rank)
    truncation = Truncation.to(16) if how == "svd" else None
    found = changes(merge(ours, weights, MergeSettings(mode=how, truncation=truncation)).adapter)
    assert_same_changes(found, theirs, 1e-5)
    assert_same_changes(found, _sum(ours, weights), 1e-6)


def test_pefts_svd_of_a_lower_rank_is_as_near_as_ours():
    ours, weights = _pair(), {"first": 0.7, "second": 0.5}
    theirs = _peft_merge(ours, weights, combination_type="svd", svd_rank=16)
    settings = MergeSettings(mode="svd", truncation=Truncation.to(16))
    found = changes(merge(ours, weights, settings).adapter)
    assert_same_changes(found, theirs, 1e-4)


def test_factors_summed_one_by_one_are_not_the_sum():
    """PEFT's `linear` adds cross terms: two LoRAs come out wrong by their own size."""
    ours, weights = _pair(), {"first": 0.7, "second": 0.7}
    theirs = _peft_merge(ours, weights, combination_type="linear")
    expected = _sum(ours, weights)
    assert 0.8 < _error(theirs, expected) < 1.2
    assert _error(changes(merge(ours, weights).adapter), expected) < 1e-6


def test_halves_of_one_adapter_come_out_doubled_from_factors_summed_one_by_one():
    """PEFT's `linear` makes (2 sqrt(.5))**2 = 2 of a LoRA merged with itself at .5 and .5."""
    adapter = _pair()["first"]
    halves, weights = {"first": adapter, "second": adapter}, {"first": 0.5, "second": 0.5}
    theirs = _peft_merge(halves, weights, combination_type="linear")
    assert_same_changes(theirs, {WHERE: 2 * changes(adapter)[WHERE]}, 1e-6)
    assert_same_changes(changes(merge(halves, weights).adapter), changes(adapter), 1e-6)


@pytest.mark.parametrize(
    ("theirs", "ours"), [("magnitude_prune", "magnitude"), ("dare_linear", "dare")]
)
def test_two_adapters_thinned_out_by_factors_gain_cross_terms(theirs, ours):
    pair, weights = _pair(), {"first": 1.0, "second": 1.0}
    expected = _sum(pair, weights)
    found = _peft_merge(pair, weights, combination_type=theirs, density=0.9)
    merged = merge(pair, weights, MergeSettings(mode=ours, density=0.9)).adapter
    assert _error(found, expected) > 0.9
    assert _error(changes(merged), expected) < 0.36


def test_pefts_svd_after_thinning_is_ours_by_weight():
    """`ties_svd` and `magnitude_prune_svd` work on the changes, tensor by tensor, as `trim` can."""
    pair, weights = _pair(), {"first": 1.0, "second": 1.0}
    for theirs, ours in (("ties_svd", "ties"), ("magnitude_prune_svd", "magnitude")):
        found = _peft_merge(pair, weights, combination_type=theirs, density=0.3, svd_rank=64)
        settings = MergeSettings(mode=ours, density=0.3, trim="weight")
        merged = changes(merge(pair, weights, settings).adapter)
        assert _error(merged, found) < 1e-2


def _saved_pair(tmp_path, **fields):
    """Return a PEFT model with two LoRAs on one linear layer, and ours of the same files."""
    torch.manual_seed(0)
    model = nn.Sequential()
    model.add_module("tokens", nn.Linear(96, 64))
    config = LoraConfig(r=8, lora_alpha=4.0, target_modules=["tokens"], **fields)
    peft = get_peft_model(model, config, adapter_name="first")
    peft.add_adapter("second", config)
    layer = peft.base_model.model.tokens
    for name, parameter in layer.named_parameters():
        if "base_layer" not in name:
            parameter.data += torch.randn(parameter.shape) / 4
    peft.save_pretrained(str(tmp_path))
    return peft, {name: read_adapter(tmp_path / name) for name in ("first", "second")}


@pytest.mark.parametrize(
    ("fields", "least"),
    [({"use_rslora": True}, 2.9), ({"lora_bias": True}, 0.03), ({"use_dora": True}, 0.03)],
    ids=["rslora", "bias", "dora"],
)
@pytest.mark.filterwarnings("ignore:Adapter .* have invalid shape")  # it takes a bias for a factor
def test_what_pefts_cat_forgets_is_merged(fields, least, tmp_path):
    """PEFT's `cat` scales rsLoRAs by the root of the new rank, and drops biases and magnitudes."""
    peft, ours = _saved_pair(tmp_path, **fields)
    layer, given = peft.base_model.model.tokens, {"first": 0.7, "second": 0.3}
    x = torch.randn(5, 96)
    with torch.no_grad():
        expected = before = layer.base_layer(x)
        for name, weight in given.items():
            peft.set_adapter(name)
            expected = expected + weight * (peft(x) - before)
        peft.add_weighted_adapter(list(given), list(given.values()), "both", combination_type="cat")
        peft.set_adapter("both")
        theirs = peft(x)
    base = BaseWeights.of({WHERE: layer.base_layer.weight.data})
    merged = merge(ours, given, base=base).adapter
    plain = nn.Sequential()
    plain.add_module("tokens", layer.base_layer)
    with torch.no_grad(), attach({"model": plain}, {"merged": merged}, {"merged": 1.0}):
        found = plain(x)
    size = (expected - before).norm()
    assert (theirs - expected).norm() > least * size
    assert (found - expected).norm() < 1e-5 * size


def test_a_merge_of_ranks_by_pattern_is_read_again(tmp_path):
    """PEFT's `linear` saves such a merge with factors that its own configuration does not fit."""
    peft, ours = _saved_pair(tmp_path, rank_pattern={"tokens": 4})
    peft.add_weighted_adapter(["first", "second"], [0.7, 0.3], "both", combination_type="linear")
    peft.save_pretrained(str(tmp_path), selected_adapters=["both"])
    fresh = nn.Sequential()
    fresh.add_module("tokens", nn.Linear(96, 64))
    with pytest.raises(RuntimeError, match="size mismatch"):
        PeftModel.from_pretrained(copy.deepcopy(fresh), tmp_path / "both")
    merged = merge(ours, {"first": 0.7, "second": 0.3}).adapter
    write_adapter(merged, tmp_path / "ours", "peft")
    read = PeftModel.from_pretrained(fresh, tmp_path / "ours").base_model.model.tokens
    found = {WHERE: read.get_delta_weight("default").double()}
    assert_same_changes(found, changes(merged), 1e-6)


# kohya's scripts, by their formulas: sd-scripts, networks/merge_lora.py and svd_merge_lora.py.


def test_a_ratio_on_both_factors_is_squared():
    adapter = _pair()["first"]
    delta = adapter.deltas[WHERE]
    kohya = _adapter(Lora(0.5 * delta.down.data, 0.5 * delta.up.data, delta.alpha))
    assert_same_changes(changes(kohya), {WHERE: 0.25 * changes(adapter)[WHERE]}, 1e-6)
    ours = merge({"a": adapter}, {"a": 0.5}).adapter
    assert_same_changes(changes(ours), {WHERE: 0.5 * changes(adapter)[WHERE]}, 1e-7)


def test_a_concatenation_that_keeps_alpha_halves_the_scale():
    pair = _pair()
    one, other = (adapter.deltas[WHERE] for adapter in pair.values())
    kohya = Lora(
        torch.cat([one.down.data, other.down.data]),
        torch.cat([one.up.data, other.up.data], dim=1),
        one.alpha,
    )
    ones = {"first": 1.0, "second": 1.0}
    half = {WHERE: 0.5 * _sum(pair, ones)[WHERE]}
    assert_same_changes(changes(_adapter(kohya)), half, 1e-6)
    assert_same_changes(changes(merge(pair, ones).adapter), _sum(pair, ones), 1e-15)


def test_factors_clamped_at_a_quantile_are_off_even_at_full_rank():
    pair, weights = _pair(), {"first": 0.7, "second": 0.5}
    expected = _sum(pair, weights)
    u, values, vh = torch.linalg.svd(expected[WHERE].float(), full_matrices=False)
    up, down = u[:, :32] * values[:32], vh[:32]
    highest = torch.quantile(torch.cat([up.flatten(), down.flatten()]), 0.99)
    clamped = {WHERE: (up.clamp(-highest, highest) @ down.clamp(-highest, highest)).double()}
    assert _error(clamped, expected) > 0.05
    settings = MergeSettings(mode="svd", truncation=Truncation.to(32))
    assert _error(changes(merge(pair, weights, settings).adapter), expected) < 1e-6


@pytest.mark.parametrize("kernel", [(3,), (3, 1, 2)])
def test_convolutions_of_one_and_three_dimensions_merge(kernel):
    generator = torch.Generator().manual_seed(0)
    pair = {
        name: _adapter(
            Lora(
                torch.randn(3, 6, *kernel, generator=generator),
                torch.randn(8, 3, *(1 for _ in kernel), generator=generator),
                1.0,
            )
        )
        for name in "ab"
    }
    weights = {"a": 0.7, "b": 0.4}
    for settings in (MergeSettings(), MergeSettings(mode="svd", truncation=Truncation.to(6))):
        found = merge(pair, weights, settings).adapter
        assert_same_changes(changes(found), _sum(pair, weights), 1e-6)
