"""What every kind of adapter promises, for each in the table."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn

from loraloom.adapters.kinds import KINDS
from loraloom.adapters.operation import Operation

EVERY_KIND = pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS.keys())
EVERY_LAYER = pytest.mark.parametrize(
    "layer",
    [
        nn.Linear(6, 8),
        nn.Conv2d(6, 8, 1),
        nn.Conv2d(6, 8, 3, padding=1),
        nn.Conv2d(6, 8, 3, stride=2, padding=(0, 2)),
        nn.Conv2d(6, 8, (1, 3), dilation=2, padding="same"),
        nn.Conv2d(6, 8, 3, groups=2),
    ],
    ids=lambda layer: layer.extra_repr(),
)


def _fresh(kind, layer, generator, dtype=torch.float32):
    return kind.fresh(tuple(layer.weight.shape), 3, 1.5, generator, dtype)


def _random(kind, layer, generator, dtype=torch.float32):
    delta = _fresh(kind, layer, generator)
    parts = {
        name: torch.randn(tensor.shape, generator=generator).to(dtype)
        for name, tensor in delta.parts().items()
    }
    return kind.from_parts(parts, delta.alpha)


def _input(layer, generator):
    shape = (2, 5, 6) if isinstance(layer, nn.Linear) else (2, 6, 7, 9)
    return torch.randn(shape, generator=generator)


def test_the_table_is_not_empty_and_names_are_right():
    assert "lora" in KINDS
    assert all(kind.kind == name for name, kind in KINDS.items())


@EVERY_KIND
@EVERY_LAYER
def test_a_fresh_adapter_changes_nothing(kind, layer, generator):
    delta = _fresh(kind, layer, generator)
    assert torch.count_nonzero(delta.delta(layer.weight)) == 0
    operation = Operation.of(layer)
    x = _input(layer, generator)
    change = delta.branch(x, layer(x), layer.weight, operation)
    assert change is None or torch.count_nonzero(change) == 0


@EVERY_KIND
@EVERY_LAYER
@pytest.mark.parametrize(
    ("dtype", "tolerance"),
    [(torch.float64, 1e-12), (torch.float32, 1e-5), (torch.float16, 1e-2), (torch.bfloat16, 5e-2)],
)
def test_the_shortcut_is_the_definition(kind, layer, dtype, tolerance, generator):
    layer = copy.deepcopy(layer).double()
    delta = _random(kind, layer, generator, dtype)
    operation = Operation.of(layer)
    x = _input(layer, generator).double()
    expected = operation.apply(x, delta.delta(layer.weight).double())
    change = delta.branch(x.to(dtype), layer(x).to(dtype), layer.weight.to(dtype), operation)
    if change is not None:
        assert change.dtype == dtype
        assert change.shape == expected.shape
        assert (change - expected).abs().max() <= tolerance * expected.abs().max()


@EVERY_KIND
@EVERY_LAYER
def test_parts_and_alpha_make_it_again(kind, layer, generator):
    delta = _random(kind, layer, generator)
    again = kind.from_parts(delta.parts(), delta.alpha)
    assert (again.alpha, again.rank) == (delta.alpha, delta.rank)
    assert again.claimed_shape == delta.claimed_shape
    assert torch.equal(again.delta(layer.weight), delta.delta(layer.weight))


@EVERY_KIND
@EVERY_LAYER
def test_it_claims_the_shape_it_fits(kind, layer, generator):
    claimed = _fresh(kind, layer, generator).claimed_shape
    assert len(claimed) == layer.weight.ndim
    for ours, theirs in zip(claimed, layer.weight.shape, strict=True):
        assert ours in (None, theirs)


@EVERY_KIND
@EVERY_LAYER
def test_a_fresh_adapter_gets_a_finite_gradient_that_is_not_zero(kind, layer, generator):
    delta = _fresh(kind, layer, generator).requires_grad_(True)
    delta.delta(layer.weight.detach()).sum().backward()
    gradients = [parameter.grad for parameter in delta.parameters()]
    assert all(torch.isfinite(gradient).all() for gradient in gradients)
    assert any(gradient.abs().max() > 0 for gradient in gradients)


@EVERY_KIND
def test_nobody_trains_it_unasked(kind, generator):
    delta = _fresh(kind, nn.Linear(6, 8), generator)
    assert not any(parameter.requires_grad for parameter in delta.parameters())
