"""TIES, DARE and magnitude pruning on changes: against their papers, and PEFT's functions."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from peft.utils import merge_utils

from loraloom.composing import MergeSettings, Truncation, merge
from loraloom.composing.sparsity import dropped, elected, threshold, trimmed
from tests.composing.conftest import assert_same_changes, changes, site


def _ties(vectors, density, scale=1.0):
    """Return algorithm 1 of arXiv 2306.01708, entry by entry in plain Python."""
    trimmed_vectors = []
    for vector in vectors:
        keep = max(1, round(density * len(vector)))
        least = sorted((abs(x) for x in vector), reverse=True)[keep - 1]
        trimmed_vectors.append([x if abs(x) >= least else 0.0 for x in vector])
    merged = []
    for entries in zip(*trimmed_vectors, strict=True):
        mass = sum(entries)
        sign = (mass > 0) - (mass < 0)
        agreeing = [x for x in entries if x and ((x > 0) - (x < 0)) == sign]
        merged.append(scale * sum(agreeing) / len(agreeing) if agreeing else 0.0)
    return merged


def _flat(adapter):
    return torch.cat(
        [changes(adapter)[where].float().flatten() for where in sorted(changes(adapter), key=str)]
    )


def test_ties_is_the_papers_algorithm_over_all_weights(make):
    adapters = {"a": make(1), "b": make(2), "c": make(3)}
    settings = MergeSettings(mode="ties", density=0.2, scale=0.9)
    merged = merge(adapters, dict.fromkeys(adapters, 1.0), settings)
    vectors = [_flat(adapter).tolist() for adapter in adapters.values()]
    expected = torch.tensor(_ties(vectors, 0.2, 0.9))
    found = _flat(merged.adapter)
    # Entries at the threshold may fall to either side by the rounding of float32 products.
    assert ((found - expected).abs() > 1e-6).sum() <= 3
    assert {fit.kind for fit in merged.fits} == {"full"}


def test_trimming_each_weight_alone_agrees_with_pefts_function(make):
    """PEFT prunes tensor by tensor, and its weights come after the vote; at 1 there is no odds."""
    adapters = {"a": make(1, ("tokens",)), "b": make(2, ("tokens",))}
    one, other = (changes(adapter)[site("tokens")].float() for adapter in adapters.values())
    ones = torch.ones(2)
    for mode, theirs in (
        ("ties", merge_utils.ties([one, other], ones, 0.3)),
        ("magnitude", merge_utils.magnitude_prune([one, other], ones, 0.3)),
    ):
        settings = MergeSettings(mode=mode, density=0.3, trim="weight")
        merged = merge(adapters, {"a": 1.0, "b": 1.0}, settings).adapter
        found = changes(merged)[site("tokens")].float()
        assert ((found - theirs).abs() > 1e-6).sum() <= 2, mode
        assert found.abs().sum() > 0


def test_weights_count_in_the_vote():
    """PEFT elects by the unweighted changes: 1 outvotes -0.6, though it goes in at 0.5 alone."""
    one, other = torch.tensor([[1.0]]), torch.tensor([[-0.6]])
    changes = torch.stack([one, other])
    mask = merge_utils.calculate_majority_sign_mask(changes)
    weights = torch.tensor([0.5, 1.0])[:, None, None]
    assert float(merge_utils.disjoint_merge(weights * changes, mask)) == 0.5
    assert float(elected([0.5 * one, 1.0 * other])) == pytest.approx(-0.6)


def test_election():
    vectors = torch.tensor(
        [
            [3.0, -1.0, 0.0, 2.0, 0.0, 1.0],
            [1.0, 2.0, 0.0, -2.0, 4.0, -3.0],
            [-2.0, 0.5, 0.0, 0.0, 0.0, 1.0],
        ]
    )
    found = elected([row[None] for row in vectors])
    #   sums: 2, 1.5, 0, 0 (a tie: nobody wins), 4, -1
    assert found.tolist() == [[2.0, 1.25, 0.0, 0.0, 4.0, -3.0]]


@pytest.mark.parametrize("density", [0.001, 0.2, 0.5, 1.0])
def test_the_threshold_is_the_exact_order_statistic(density):
    generator = torch.Generator().manual_seed(0)
    matrices = [torch.randn(50, 40, generator=generator) * 10.0**k for k in (-9, 0, 3)]
    matrices[1][:10] = 0
    values = torch.cat([matrix.abs().flatten() for matrix in matrices])
    keep = max(1, round(density * len(values)))
    expected = float(values.sort(descending=True).values[keep - 1])
    assert threshold(lambda: matrices, density) == expected
    kept = sum(int((trimmed(matrix, expected) != 0).sum()) for matrix in matrices)
    assert kept == keep if expected else kept == int((values != 0).sum())


def test_magnitude_keeps_the_largest_entries(make):
    adapter = make(1)
    settings = MergeSettings(mode="magnitude", density=0.25)
    merged = merge({"a": adapter}, {"a": 0.5}, settings).adapter
    whole, kept = 0.5 * _flat(adapter), _flat(merged)
    least = whole.abs().sort(descending=True).values[round(0.25 * len(whole)) - 1]
    expected = torch.where(whole.abs() >= least * (1 - 1e-6), whole, 0)
    torch.testing.assert_close(kept, expected, rtol=1e-5, atol=0)


@pytest.mark.parametrize("mode", ["ties", "magnitude", "dare", "dare_ties"])
def test_everything_kept_of_one_adapter_is_the_adapter(make, mode):
    adapter = make(1)
    merged = merge({"a": adapter}, {"a": 1.0}, MergeSettings(mode=mode, density=1.0))
    assert_same_changes(changes(merged.adapter), changes(adapter), 1e-6)
    assert all(fit.strength == pytest.approx(1.0, abs=1e-6) for fit in merged.fits)


def test_dropping_keeps_a_share_and_makes_up_for_the_rest():
    matrix = torch.full((200, 300), 2.0)
    kept = dropped(matrix, 0.4, torch.Generator().manual_seed(0))
    assert set(kept.unique().tolist()) == {0.0, 5.0}
    # 60,000 draws: the share's standard deviation is sqrt(.4 * .6 / 60000) = 0.002.
    assert float((kept != 0).double().mean()) == pytest.approx(0.4, abs=0.01)


def test_drops_depend_on_seed_adapter_and_site_alone(make):
    whole = {"a": make(1), "b": make(2)}
    head = {site("head"): whole["b"].deltas[site("head")]}
    part = {"b": replace(whole["b"], deltas=head)}
    settings = MergeSettings(mode="dare", density=0.5, seed=7)
    alone = changes(merge({"b": whole["b"]}, {"b": 1.0}, settings).adapter)
    single = changes(merge(part, {"b": 1.0}, settings).adapter)
    assert torch.equal(single[site("head")], alone[site("head")])
    together = changes(merge(whole, {"a": 1.0, "b": 1.0}, settings).adapter)
    first = changes(merge({"a": whole["a"]}, {"a": 1.0}, settings).adapter)
    for where, change in together.items():
        torch.testing.assert_close(change, first[where] + alone[where])
    other = MergeSettings(mode="dare", density=0.5, seed=8)
    assert not torch.equal(
        changes(merge(part, {"b": 1.0}, other).adapter)[site("head")], single[site("head")]
    )
    twins = {"a": whole["b"], "b": whole["b"]}
    renamed = changes(merge(twins, {"a": 1.0, "b": 0.0}, settings).adapter)
    assert not torch.equal(renamed[site("head")], alone[site("head")])


def test_a_sparse_merge_may_be_made_low_rank(make):
    adapters = {"a": make(1), "b": make(2)}
    full = MergeSettings(mode="ties", density=0.5)
    low = MergeSettings(mode="ties", density=0.5, truncation=Truncation.to(6))
    weights = {"a": 1.0, "b": 1.0}
    exact = changes(merge(adapters, weights, full).adapter)
    made = merge(adapters, weights, low)
    found = changes(made.adapter)
    for fit in made.fits:
        assert (fit.kind, fit.rank) == ("lora", 6)
        plain = sum(changes(adapter)[fit.place] for adapter in adapters.values())
        error = (found[fit.place] - plain).norm() / plain.norm()
        assert fit.error == pytest.approx(float(error), rel=1e-4)
        # What a thinning adds is spread over all directions, and cutting takes much of it away.
        assert 0 < fit.error < float((exact[fit.place] - plain).norm() / plain.norm())
        assert fit.energy == pytest.approx(1 - fit.error**2)
        assert fit.norm == pytest.approx(float(plain.norm()))
        strength = (found[fit.place] * plain).sum() / plain.square().sum()
        assert fit.strength == pytest.approx(float(strength), rel=1e-5)


def test_signs_voted_on_factors_are_far_from_signs_voted_on_changes():
    """PEFT's `ties` and `magnitude_prune` prune A and B, each by itself: most of it is off."""
    generator = torch.Generator().manual_seed(0)
    downs = [torch.randn(16, 320, generator=generator) for _ in range(2)]
    ups = [torch.randn(320, 16, generator=generator) for _ in range(2)]
    ones = torch.ones(2)
    intended = merge_utils.ties([u @ d for u, d in zip(ups, downs, strict=True)], ones, 0.5)
    made = merge_utils.ties(ups, ones, 0.5) @ merge_utils.ties(downs, ones, 0.5)
    along = (made * intended).sum() / intended.square().sum()
    off = (made - along * intended).norm() / made.norm()
    assert off > 0.8


def test_a_random_choice_has_the_error_that_the_paper_s_variance_says(make):
    """Kept with probability p and divided by it, an entry x is off by x²(1 - p)/p on average."""
    adapters, weights = {"a": make(1), "b": make(2)}, {"a": 0.7, "b": 0.3}
    merged = merge(adapters, weights, MergeSettings(mode="dare", density=0.3))
    # Each adapter's entries are drawn apart, so that their squares add up instead of the sum's.
    squares = sum(
        float((weights[name] * change).square().sum())
        for name, adapter in adapters.items()
        for change in changes(adapter).values()
    )
    whole = sum(fit.norm**2 for fit in merged.fits)
    assert merged.error**2 == pytest.approx(squares / whole * 0.7 / 0.3, rel=0.05)
    assert merged.energy == 0.0
    assert not any(fit.is_zero for fit in merged.fits)


@pytest.mark.parametrize("truncation", [None, Truncation.to(2)])
def test_what_is_left_of_nothing_is_nothing(make, truncation):
    how = MergeSettings(mode="dare", density=1e-9, truncation=truncation)
    merged = merge({"a": make(1), "b": make(2)}, {"a": 0.7, "b": 0.3}, how)
    for fit in merged.fits:
        assert (fit.energy, fit.strength, fit.is_zero) == (0.0, 0.0, True)
        assert fit.error == pytest.approx(1.0)
    assert (merged.energy, merged.error) == (0.0, pytest.approx(1.0))
