"""Operations do what their layers do."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from transformers.pytorch_utils import Conv1D

from loraloom.adapters.operation import Operation
from tests.adapters.variants import weight_of


class ScaledEmbedding(nn.Embedding):
    """An embedding with a formula of its own, as Gemma 3 has."""

    def forward(self, input):
        """Scale what is looked up."""
        return super().forward(input) * 3


class StandardizedConv(nn.Conv2d):
    """A convolution with a formula of its own."""

    def forward(self, input):
        """Take the mean out of the weight."""
        return self._conv_forward(input, self.weight - self.weight.mean(), self.bias)


class StoredOtherwise(nn.Linear):
    """A linear layer with a formula that is linear all the same, as quantised ones have."""

    def forward(self, input):
        """Multiply in halves."""
        return super().forward(input / 2) * 2


LAYERS = (
    nn.Linear(6, 8, bias=False),
    StoredOtherwise(6, 8, bias=False),
    nn.Conv2d(6, 8, 1, bias=False),
    nn.Conv2d(6, 8, 3, stride=(1, 2), padding=(2, 0), bias=False),
    nn.Conv2d(6, 8, 3, dilation=2, padding="same", bias=False),
    nn.Conv2d(6, 8, 3, padding="valid", groups=2, bias=False),
    nn.Conv2d(6, 6, 3, groups=6, bias=False),
    nn.Conv1d(6, 8, 3, stride=2, padding=1, bias=False),
    nn.Conv1d(6, 8, 3, groups=2, bias=False),
    nn.Conv3d(6, 8, (1, 2, 3), bias=False),
    nn.Embedding(10, 6),
    nn.Embedding(10, 6, padding_idx=2),
    Conv1D(8, 6),
)
EVERY_LAYER = pytest.mark.parametrize(
    "layer", LAYERS, ids=[f"{type(layer).__name__}({layer.extra_repr()})" for layer in LAYERS]
)


def _input(layer, generator):
    if isinstance(layer, nn.Embedding):
        return torch.randint(10, (3, 7), generator=generator)
    sides = layer.weight.ndim - 2
    shape = (3, 6, 8, 9, 7)[: 2 + sides] if sides else (3, 5, 6)
    return torch.randn(shape, generator=generator)


@EVERY_LAYER
def test_the_layers_own_weight_gives_the_layers_output(layer, generator):
    x = _input(layer, generator)
    with torch.no_grad():
        found, expected = Operation.of(layer).apply(x, weight_of(layer)), layer(x)
    torch.testing.assert_close(found, expected, rtol=1e-6, atol=1e-6)


@EVERY_LAYER
@pytest.mark.parametrize("scale", [1.0, -0.7, torch.tensor([0.5, 0.0, -2.0])], ids=str)
def test_factors_act_as_their_product(layer, scale, generator):
    operation, x = Operation.of(layer), _input(layer, generator)
    rows, *columns = weight_of(layer).shape
    down = torch.randn(4, *columns, generator=generator)
    up = torch.randn(rows, 4, *(1 for _ in columns[1:]), generator=generator)
    product = torch.einsum("or,ri...->oi...", up.flatten(1), down)
    expected = operation.apply(x, product)
    by_row = torch.as_tensor(scale).view(-1, *(1 for _ in expected.shape[1:]))
    expected = expected * by_row
    found = operation.apply_factors(x, down, up, scale)
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)
    if isinstance(scale, float):
        y = torch.randn(found.shape, generator=generator)
        before = y.clone()
        summed = operation.add_factors(y, x, down, up, scale, in_place=False)
        torch.testing.assert_close(summed, before + expected, rtol=1e-4, atol=1e-5)
        assert torch.equal(y, before)
        written = operation.add_factors(y, x, down, up, scale, in_place=True)
        assert written.data_ptr() == y.data_ptr()
        torch.testing.assert_close(y, before + expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    "layer", [nn.Linear(6, 8), nn.Conv2d(6, 8, 3), nn.Conv1d(6, 8, 3)], ids=repr
)
def test_a_bias_is_added_where_the_layer_adds_it(layer, generator):
    x = _input(layer, generator)
    operation = Operation.of(layer)
    with torch.no_grad():
        bare = operation.apply(x, layer.weight)
        torch.testing.assert_close(operation.add_bias(bare, layer.bias), layer(x))
        torch.testing.assert_close(operation.add_bias(layer(x), layer.bias, -1.0), bare)


@pytest.mark.parametrize(
    "layer",
    [
        nn.LayerNorm(4),
        nn.GroupNorm(2, 4),
        nn.ConvTranspose2d(2, 2, 1),
        nn.Conv2d(2, 2, 3, padding=1, padding_mode="reflect"),
        nn.Sequential(nn.Linear(2, 2)),
        nn.MultiheadAttention(4, 2),
        nn.Embedding(4, 4, max_norm=1.0),
        ScaledEmbedding(4, 4),
        StandardizedConv(2, 2, 1),
    ],
    ids=lambda layer: type(layer).__name__,
)
def test_no_operation_is_made_up_for_other_layers(layer):
    assert Operation.of(layer) is None
