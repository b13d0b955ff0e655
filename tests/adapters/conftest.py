"""A small network with every operation that an adapter can be worn on."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from loraloom.adapters.adapter import Adapter
from loraloom.adapters.card import Card
from loraloom.adapters.lora import Lora
from loraloom.adapters.site import Site


class Zoo(nn.Module):
    """(batch, 4, 6, 6) to (batch, 3): convolutions of many kinds, then linear layers."""

    def __init__(self) -> None:
        super().__init__()
        self.plain = nn.Conv2d(4, 6, 3, padding=1)
        self.pointwise = nn.Conv2d(6, 8, 1)
        self.strided = nn.Conv2d(8, 8, 3, stride=2, padding=(1, 0))
        self.dilated = nn.Conv2d(8, 8, (1, 3), dilation=(1, 2), padding="same")
        self.grouped = nn.Conv2d(8, 6, 2, groups=2)
        self.tokens = nn.Linear(6, 5)
        self.head = nn.Linear(5, 3, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """Run all layers, with a bend between any two."""
        for layer in (self.plain, self.pointwise, self.strided, self.dilated, self.grouped):
            x = torch.tanh(layer(x))
        tokens = x.flatten(2).transpose(1, 2)
        return self.head(torch.tanh(self.tokens(tokens))).mean(1)


LAYERS = ("plain", "pointwise", "strided", "dilated", "grouped", "tokens", "head")


@pytest.fixture
def zoo() -> Zoo:
    """Return the network, with the same weights each time."""
    torch.manual_seed(0)
    return Zoo().requires_grad_(False)


@pytest.fixture
def pictures() -> Tensor:
    """Return a batch of four."""
    return torch.randn(4, 4, 6, 6, generator=torch.Generator().manual_seed(1))


@pytest.fixture
def make(zoo: Zoo):
    """Return a maker of adapters with random factors on some of the network's layers."""

    def adapter(
        name: str, seed: int, layers: tuple[str, ...] = LAYERS, alpha: float = 1.5
    ) -> Adapter:
        generator = torch.Generator().manual_seed(seed)
        deltas = {}
        for rank, layer in enumerate(layers, start=1):
            fan_out, *fan_in = zoo.get_submodule(layer).weight.shape
            down = torch.randn(rank, *fan_in, generator=generator) / 2
            up = torch.randn(fan_out, rank, *(1 for _ in fan_in[1:]), generator=generator) / 2
            deltas[Site("model", f"{layer}.weight")] = Lora(down, up, alpha)
        return Adapter(deltas=deltas, card=Card(family="", name=name))

    return adapter
