"""Every kind, worn on every layer: the output is that of W + sum of s_i * delta_i(W)."""

from __future__ import annotations

import copy

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from transformers.pytorch_utils import Conv1D

from loraloom.adapters.adapter import Adapter
from loraloom.adapters.attachment import attach
from loraloom.adapters.card import Card
from loraloom.adapters.kinds import KINDS
from loraloom.adapters.site import Site
from tests.adapters.variants import weight_of

SITE = Site("model", "layer.weight")
LAYERS = {
    "linear": nn.Linear(16, 8),
    "linear without bias": nn.Linear(16, 8, bias=False),
    "1x1": nn.Conv2d(16, 8, 1),
    "3x3": nn.Conv2d(16, 8, 3, stride=2, padding=(1, 0)),
    "grouped": nn.Conv2d(16, 8, (1, 3), dilation=(1, 2), groups=4),
    "1d": nn.Conv1d(16, 8, 3, padding=1),
    "embedding": nn.Embedding(16, 8),
    "gpt2": Conv1D(8, 16),
}
EVERY_KIND = pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS.keys())
EVERY_LAYER = pytest.mark.parametrize("layer", LAYERS.values(), ids=LAYERS.keys())

# One strength for all rows, and some for each; 0 among them.
STRENGTHS = (0.5, -1.7, torch.tensor([1.0, 0.5, 0.0, -0.3]), torch.tensor([0.7, 0.0, 0.7, 0.7]))


def _input(layer, generator):
    if isinstance(layer, nn.Embedding):
        return torch.randint(16, (4, 6), generator=generator)
    sides = layer.weight.ndim - 2
    shape = (4, 16, 5, 6)[: 2 + sides] if sides else (4, 5, 16)
    return torch.randn(shape, generator=generator)


def _adapter(kind, shape, generator, name="a"):
    """Return an adapter of a kind with random numbers in its tensors."""
    weight = torch.randn(shape, generator=generator)
    fresh = kind.fresh(shape, 4, 3.0, generator, weight=weight)
    parts = {
        name: tensor + torch.randn(tensor.shape, generator=generator) / 3
        for name, tensor in fresh.parts().items()
    }
    delta = kind.from_parts(parts, fresh.alpha, fresh.settings)
    return Adapter(deltas={SITE: delta}, card=Card(family="", name=name))


def _exact(delta):
    parts = {name: tensor.double() for name, tensor in delta.parts().items()}
    return type(delta).from_parts(parts, delta.alpha, delta.settings)


def _expected(layer, x, worn):
    """Run a copy in float64, row by row, with the update in the weight; by the definition."""
    layer = copy.deepcopy(layer).double().requires_grad_(False)
    assert not layer._forward_hooks
    x = x.double() if x.is_floating_point() else x
    base, rows = weight_of(layer).clone(), []
    for row in range(len(x)):
        weight_of(layer).copy_(base)
        for adapter, strength in worn:
            (delta,) = adapter.deltas.values()
            s = strength if isinstance(strength, float) else float(strength[row])
            weight_of(layer).add_(s * _exact(delta).delta(base))
        rows.append(layer(x[row : row + 1]))
    return torch.cat(rows)


def _close(found, expected, tolerance=2e-6):
    assert (found.double() - expected).abs().max() <= tolerance * expected.abs().max()


@EVERY_KIND
@EVERY_LAYER
def test_the_output_is_that_of_the_changed_weight(kind, layer, generator):
    network = nn.ModuleDict({"layer": layer}).requires_grad_(False)
    adapter = _adapter(kind, tuple(weight_of(layer).shape), generator)
    x, before = _input(layer, generator), layer.weight.clone()
    base = layer(x)
    wanted = [_expected(layer, x, [(adapter, strength)]) for strength in STRENGTHS]
    with attach({"model": network}, adapter, 0.0) as attachment:
        assert torch.equal(layer(x), base)
        for strength, expected in zip(STRENGTHS, wanted, strict=True):
            assert (expected - base.double()).abs().max() > 0.01
            attachment.set_strengths(strength)
            _close(layer(x), expected)
            with torch.inference_mode():
                _close(layer(x), expected)
            if isinstance(strength, torch.Tensor):
                assert torch.equal(layer(x)[strength == 0], base[strength == 0])
    assert torch.equal(layer(x), base)
    assert torch.equal(layer.weight, before)


@EVERY_LAYER
def test_all_kinds_at_once_add_up_in_any_order(layer, generator):
    network = nn.ModuleDict({"layer": layer}).requires_grad_(False)
    shape, x = tuple(weight_of(layer).shape), _input(layer, generator)
    adapters = [_adapter(kind, shape, generator, name=name) for name, kind in KINDS.items()]
    strengths = {
        adapter.card.name: STRENGTHS[number % len(STRENGTHS)]
        for number, adapter in enumerate(adapters)
    }
    expected = _expected(layer, x, [(each, strengths[each.card.name]) for each in adapters])
    for order in (adapters, adapters[::-1]):
        with attach({"model": network}, order, strengths):
            _close(layer(x), expected)


@EVERY_KIND
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float32])
def test_leaving_restores_bit_for_bit_in_every_dtype(kind, dtype, generator):
    layer = nn.Linear(16, 8).to(dtype).requires_grad_(False)
    network = nn.ModuleDict({"layer": layer})
    adapter = _adapter(kind, (8, 16), generator)
    x = torch.randn(4, 16, generator=generator).to(dtype)
    weight, base = layer.weight, layer(x)
    kept = weight.clone()
    expected = _expected(layer, x, [(adapter, 0.5)])
    with attach({"model": network}, adapter, 0.5) as attachment:
        worn = layer(x)
        assert worn.dtype == dtype
        assert (worn.double() - expected).abs().max() <= 12 * torch.finfo(dtype).eps * max(
            1, expected.abs().max()
        )
        attachment.set_strengths(0.0)
        assert torch.equal(layer(x), base)
    assert layer.weight is weight
    assert torch.equal(weight, kept)
    assert torch.equal(layer(x), base)


@EVERY_KIND
@pytest.mark.parametrize("name", ["linear", "3x3"])
def test_under_autocast_it_is_near_the_formula(kind, name, generator):
    layer = LAYERS[name]
    network = nn.ModuleDict({"layer": layer}).requires_grad_(False)
    adapter = _adapter(kind, tuple(weight_of(layer).shape), generator)
    x = _input(layer, generator)
    for strength in STRENGTHS[1:3]:
        expected = _expected(layer, x, [(adapter, strength)])
        for mode in (torch.enable_grad, torch.inference_mode):
            worn = attach({"model": network}, adapter, strength)
            with mode(), torch.autocast("cpu", torch.bfloat16), worn:
                found = layer(x)
            assert found.dtype == torch.bfloat16
            assert (found.double() - expected).abs().max() <= 0.03 * expected.abs().max()


@EVERY_KIND
def test_gradients_are_those_of_the_changed_weight(kind, generator):
    layer = nn.Linear(16, 8).double().requires_grad_(False)
    network = nn.ModuleDict({"layer": layer})
    adapter = _adapter(kind, (8, 16), generator)
    (given,) = adapter.deltas.values()
    adapter = Adapter(deltas={SITE: _exact(given)}, card=adapter.card)
    delta = _exact(given).requires_grad_(True)
    x = torch.randn(4, 16, generator=generator).double()
    for strengths in (0.5, torch.tensor([0.5, -1.0, 0.0, 0.7]).double()):
        total = torch.zeros((), dtype=torch.float64)
        for row, strength in enumerate(torch.as_tensor(strengths).double().expand(4)):
            weight = layer.weight + strength * delta.delta(layer.weight)
            total = total + F.linear(x[row], weight, layer.bias).square().sum()
        expected = torch.autograd.grad(total, list(delta.parameters()))
        with attach({"model": network}, adapter, strengths, trainable=True) as attachment:
            layer(x).square().sum().backward()
            found = [parameter.grad for parameter in attachment.parameters("a")]
        for gradient, wanted in zip(found, expected, strict=True):
            assert wanted.abs().max() > 0
            torch.testing.assert_close(gradient, wanted, rtol=1e-9, atol=1e-9)


def test_a_conv_spelled_as_a_linear_layer_and_the_other_way_round(generator):
    pixel, linear = nn.Conv2d(16, 8, 1), nn.Linear(16, 8)
    for layer, shape in ((pixel, (8, 16)), (linear, (8, 16, 1, 1))):
        network = nn.ModuleDict({"layer": layer}).requires_grad_(False)
        x = _input(layer, generator)
        for kind in KINDS.values():
            adapter = _adapter(kind, shape, generator)
            (given,) = adapter.deltas.values()
            straight = type(given).from_parts(given.parts(), given.alpha, given.settings)
            straight = straight.fitted(tuple(weight_of(layer).shape))
            plain = Adapter(deltas={SITE: straight}, card=adapter.card)
            expected = _expected(layer, x, [(plain, 0.5)])
            with attach({"model": network}, adapter, 0.5) as attachment:
                _close(layer(x), expected)
                out = attachment.adapter("a")
            (again,) = out.deltas.values()
            assert {n: t.shape for n, t in again.parts().items()} == {
                n: t.shape for n, t in given.parts().items()
            }
