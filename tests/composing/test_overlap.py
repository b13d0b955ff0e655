"""Interference against dense formulas."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from loraloom.adapters.card import Card
from loraloom.adapters.full import Full
from loraloom.adapters.lora import Lora
from loraloom.composing import interference
from loraloom.composing.triggers import trigger_clashes
from tests.composing.conftest import changes, site


def _bases(matrix, rank):
    u, _, vh = torch.linalg.svd(matrix, full_matrices=False)
    return u[:, :rank], vh[:rank].mT


def test_angles_are_those_of_the_matrices(make):
    adapters = {"a": make(1, rank=3), "b": make(2, rank=2, alpha=0.3), "c": make(1, rank=3)}
    found = interference(adapters)
    assert [pair.adapters for pair in found.pairs] == [("a", "b"), ("a", "c"), ("b", "c")]
    assert len(found.meetings) == 12
    ranks = {"a": 3, "b": 2, "c": 3}
    for meeting in found.meetings:
        names = meeting.adapters
        one, other = (changes(adapters[name])[meeting.place].flatten(1) for name in names)
        first, second = (ranks[name] for name in names)
        cosine = (one * other).sum() / one.norm() / other.norm()
        assert meeting.cosine == pytest.approx(float(cosine), abs=1e-12)
        assert meeting.norms == pytest.approx((float(one.norm()), float(other.norm())))
        for overlap, side in ((meeting.outputs, 0), (meeting.inputs, 1)):
            basis, rival = _bases(one, first)[side], _bases(other, second)[side]
            cosines = torch.linalg.svdvals(basis.mT @ rival)
            assert overlap.share == pytest.approx(float(cosines.square().mean()), abs=1e-9)
            assert overlap.largest == pytest.approx(float(cosines[0]), abs=1e-9)
            assert overlap.chance == max(first, second) / one.shape[side]


def test_sums_over_the_weights_that_both_change(make):
    """What only one changes counts in its norm, and not in the angle: nothing meets it there."""
    adapters = {"a": make(1), "b": make(2, ("conv", "head"))}
    (pair,) = interference(adapters).pairs
    one, other = (changes(adapter) for adapter in adapters.values())
    flat = torch.cat([one[where].flatten() for where in one])
    along = sum((one[where] * other[where]).sum() for where in other)
    rival = torch.cat([other[where].flatten() for where in other])
    assert pair.norms == pytest.approx((float(flat.norm()), float(rival.norm())))
    met = torch.cat([one[where].flatten() for where in other])
    assert pair.cosine == pytest.approx(float(along / met.norm() / rival.norm()), abs=1e-12)
    both = {where: adapters["a"].deltas[where] for where in other}
    (alone,) = interference({**adapters, "a": replace(adapters["a"], deltas=both)}).pairs
    assert (alone.cosine, alone.alone) == (pair.cosine, (0, 0))
    assert (pair.shared, pair.alone) == (2, (2, 0))


def test_an_adapter_agrees_with_itself_and_opposes_its_opposite(make):
    adapter = make(1)
    opposite = {w: Lora(-d.down.data, d.up.data, d.alpha) for w, d in adapter.deltas.items()}
    found = interference({"a": adapter, "b": adapter, "c": replace(adapter, deltas=opposite)})
    cosines = {pair.adapters: pair.cosine for pair in found.pairs}
    assert cosines[("a", "b")] == pytest.approx(1.0)
    assert cosines[("a", "c")] == pytest.approx(-1.0)
    for meeting in found.meetings:
        assert meeting.outputs.share == pytest.approx(1.0)
        assert meeting.inputs.share == pytest.approx(1.0)


def test_random_subspaces_overlap_as_chance_says():
    generator = torch.Generator().manual_seed(0)
    shares = []
    for _ in range(20):
        pair = {}
        for name, rank in (("a", 4), ("b", 6)):
            down = torch.randn(rank, 50, generator=generator)
            up = torch.randn(60, rank, generator=generator)
            adapter = {site("x"): Lora(down, up, 1.0)}
            pair[name] = _adapter(adapter)
        (meeting,) = interference(pair).meetings
        shares.append(meeting.outputs.share)
        assert meeting.outputs.chance == 6 / 60
    assert sum(shares) / 20 == pytest.approx(0.1, abs=0.02)


def test_rank_that_is_not_there_does_not_count():
    """The second half of the factors is zero: what a decomposition fills it with is chance."""
    generator = torch.Generator().manual_seed(0)
    up, down = torch.randn(30, 4, generator=generator), torch.randn(4, 20, generator=generator)
    up[:, 2:] = 0
    thin = Lora(down[:2].clone(), up[:, :2].clone(), 2.0)
    padded = Lora(down, up, 4.0)
    found = interference({"a": _adapter({site("x"): thin}), "b": _adapter({site("x"): padded})})
    (meeting,) = found.meetings
    assert meeting.outputs.share == pytest.approx(1.0)
    assert meeting.outputs.chance == 2 / 30


def test_full_differences_have_a_cosine_but_no_subspace(make):
    adapter = make(1, ("head",))
    full = replace(
        adapter, deltas={w: Full(change.float()) for w, change in changes(adapter).items()}
    )
    (meeting,) = interference({"a": adapter, "b": full}).meetings
    assert meeting.cosine == pytest.approx(1.0, abs=1e-6)
    assert meeting.outputs is None


def test_what_does_nothing_has_no_angle(make):
    adapter = make(1, ("head",))
    idle = {w: Lora(d.down.data, torch.zeros_like(d.up), 1.0) for w, d in adapter.deltas.items()}
    found = interference({"a": adapter, "b": replace(adapter, deltas=idle)})
    assert found.meetings[0].cosine is None
    assert found.pairs[0].cosine is None


@pytest.mark.parametrize(
    ("one", "other", "clash"),
    [
        ("sks", "sks", "exact"),
        ("anistyle", "AniStyle", "near"),
        ("ani style", "ani-style", "near"),
        ("anistyle", "anistyles", "near"),
        ("anistyle", "anistile", "near"),
        ("anistyle", "aniistyle", "near"),
        ("watercolor", "watercolor painting", "near"),
        ("sks", "sky", None),
        ("anistyle", "wcstyle", None),
        ("cat", "catalogue", None),
        ("!!", "??", None),
    ],
)
def test_triggers(make, one, other, clash):
    pair = {"a": (one,), "b": ("unrelated", other)}
    expected = [] if clash is None else [(("a", "b"), (one, other), clash == "exact")]
    found = trigger_clashes(pair)
    assert [(each.adapters, each.words, each.is_exact) for each in found] == expected
    adapters = {
        name: replace(make(1, ("head",)), card=Card(family="", triggers=words))
        for name, words in pair.items()
    }
    assert interference(adapters).triggers == found


def _adapter(deltas):
    from loraloom.adapters.adapter import Adapter

    return Adapter(deltas=deltas, card=Card(family=""))
