"""Operations do what their layers do."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from loraloom.adapters.operation import Operation


@pytest.mark.parametrize(
    "layer",
    [
        nn.Linear(6, 8, bias=False),
        nn.Conv2d(6, 8, 1, bias=False),
        nn.Conv2d(6, 8, 3, stride=(1, 2), padding=(2, 0), bias=False),
        nn.Conv2d(6, 8, 3, dilation=2, padding="same", bias=False),
        nn.Conv2d(6, 8, 3, padding="valid", groups=2, bias=False),
    ],
    ids=lambda layer: layer.extra_repr(),
)
def test_the_layers_own_weight_gives_the_layers_output(layer):
    x = torch.randn((3, 6) if isinstance(layer, nn.Linear) else (3, 6, 8, 8))
    assert torch.equal(Operation.of(layer).apply(x, layer.weight), layer(x))


@pytest.mark.parametrize(
    "layer",
    [
        nn.LayerNorm(4),
        nn.Embedding(4, 4),
        nn.Conv1d(2, 2, 1),
        nn.ConvTranspose2d(2, 2, 1),
        nn.Conv2d(2, 2, 3, padding=1, padding_mode="reflect"),
        nn.Sequential(nn.Linear(2, 2)),
    ],
    ids=lambda layer: type(layer).__name__,
)
def test_no_operation_is_made_up_for_other_layers(layer):
    assert Operation.of(layer) is None
