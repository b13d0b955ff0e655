"""Eight-bit factors: torch can only store them, so every tool computes with them in float32."""

from __future__ import annotations

import pytest
import torch

from loraloom.adapters.adapter import Adapter
from loraloom.adapters.card import Card
from loraloom.adapters.loha import Loha
from loraloom.adapters.lokr import Lokr
from loraloom.adapters.lora import Lora
from loraloom.composing import MergeSettings, Truncation, inspect, merge, resize
from loraloom.composing.comparison import compare
from tests.composing.conftest import site

EIGHT = (torch.float8_e4m3fn, torch.float8_e5m2)


def _parts(generator, dtype, **shapes):
    return {n: torch.randn(s, generator=generator).to(dtype) for n, s in shapes.items()}


@pytest.fixture(params=EIGHT, ids=str)
def eight(request):
    """Return adapters of three kinds with eight-bit factors, for one layer."""
    draw = torch.Generator().manual_seed(0)
    kinds = {
        "lora": (Lora, _parts(draw, request.param, down=(3, 12), up=(20, 3))),
        "loha": (
            Loha,
            _parts(draw, request.param, w1_a=(20, 2), w1_b=(2, 12), w2_a=(20, 2), w2_b=(2, 12)),
        ),
        "lokr": (Lokr, _parts(draw, request.param, w1=(4, 3), w2=(5, 4))),
    }
    card = Card(family="")
    return {
        name: Adapter(deltas={site("head"): kind.from_parts(parts, 2.0)}, card=card)
        for name, (kind, parts) in kinds.items()
    }


def _change(adapter):
    """Return the change, computed from a copy of the factors in float64."""
    delta = adapter.deltas[site("head")]
    parts = {name: part.double() for name, part in delta.parts().items()}
    return type(delta).from_parts(parts, delta.alpha, delta.settings).delta(None)


@pytest.mark.parametrize("names", [["lora"], ["loha"], ["lokr"], ["lora", "loha", "lokr"]])
def test_a_merge_is_the_sum_in_float32(eight, names):
    adapters = {name: eight[name] for name in names}
    weights = {name: 0.3 + 0.2 * number for number, name in enumerate(names)}
    expected = sum(weights[name] * _change(adapter) for name, adapter in adapters.items())
    made = merge(adapters, weights).adapter
    torch.testing.assert_close(_change(made), expected, rtol=1e-6, atol=1e-6)
    parts = made.deltas[site("head")].parts().values()
    assert {part.dtype for part in parts} == {torch.float32}


def test_eight_bits_meet_sixteen(eight):
    lora = eight["lora"].deltas[site("head")]
    half = {name: part.half() for name, part in lora.parts().items()}
    other = Adapter(deltas={site("head"): Lora.from_parts(half, 2.0)}, card=Card(family=""))
    both = {"one": eight["lora"], "two": other}
    settings = [
        MergeSettings(),
        MergeSettings(normalize="max-fro"),
        MergeSettings(mode="ties", density=1.0),
        MergeSettings(mode="svd", truncation=Truncation.to(3)),
    ]
    for each in settings:
        made = merge(both, {"one": 0.3, "two": 0.5}, each).adapter
        # The larger of the two norms is 0.5 of the change's; a vote is the mean of both.
        factor = {"max-fro": 0.5}.get(each.normalize, 0.4 if each.mode == "ties" else 0.8)
        expected = factor * _change(eight["lora"])
        torch.testing.assert_close(_change(made), expected, rtol=1e-4, atol=1e-4)


def test_all_that_looks_at_them_can(eight):
    for adapter in eight.values():
        assert inspect(adapter).findings == ()
        assert [each.error for each in compare(adapter, adapter)] == [0.0]
    made = resize(eight["lora"], Truncation.to(3)).adapter
    torch.testing.assert_close(_change(made), _change(eight["lora"]), rtol=1e-5, atol=1e-5)
