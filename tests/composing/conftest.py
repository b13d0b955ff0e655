"""A small network and adapters for it, of every shape that merging meets."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import pytest
import torch
from torch import Tensor, nn

from loraloom.adapters.adapter import Adapter
from loraloom.adapters.card import Card
from loraloom.adapters.delta import AbstractDelta
from loraloom.adapters.kinds import KINDS
from loraloom.adapters.lora import Lora
from loraloom.adapters.site import Site


class Net(nn.Module):
    """(batch, 4, 6, 6) to (batch, 24): convolutions, then linear layers."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(4, 32, 3, padding=1)
        self.pointwise = nn.Conv2d(32, 16, 1)
        self.tokens = nn.Linear(16, 32)
        self.head = nn.Linear(32, 24, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """Run all layers, with a bend between any two."""
        x = torch.tanh(self.pointwise(torch.tanh(self.conv(x))))
        tokens = x.flatten(2).transpose(1, 2)
        return self.head(torch.tanh(self.tokens(tokens))).mean(1)


LAYERS = ("conv", "pointwise", "tokens", "head")


def site(layer: str) -> Site:
    """Return the site of a layer's weight."""
    return Site("model", f"{layer}.weight")


def changes(adapter: Adapter, base: Mapping[Site, Tensor] | None = None) -> dict[Site, Tensor]:
    """Return what an adapter does to each weight, in float64: scale * up @ down for a LoRA."""
    found = {}
    for where, delta in adapter.deltas.items():
        if isinstance(delta, Lora):
            parts = {name: part.double() for name, part in delta.parts().items()}
            up, down = parts["up"].flatten(1), parts["down"]
            if "mid" in parts:
                down = torch.einsum("ab...,bi->ai...", parts["mid"], down.flatten(1))
            matrix = delta.alpha / delta.rank * up @ down.flatten(1)
            found[where] = matrix.reshape(len(up), *down.shape[1:])
        else:
            found[where] = delta.delta(None if base is None else base[where]).double()
    return found


def assert_same_changes(
    found: Mapping[Site, Tensor], expected: Mapping[Site, Tensor], tolerance: float
) -> None:
    """Compare by the Frobenius norm, relative to each expected change."""
    assert found.keys() == expected.keys()
    assert found
    for where, change in expected.items():
        error = (found[where] - change).norm() / change.norm()
        assert error <= tolerance, (where, float(error))


@pytest.fixture
def net() -> Net:
    """Return the network, with the same weights each time."""
    torch.manual_seed(0)
    return Net().requires_grad_(False)


@pytest.fixture
def pictures() -> Tensor:
    """Return a batch of four."""
    return torch.randn(4, 4, 6, 6, generator=torch.Generator().manual_seed(1))


@pytest.fixture
def make(net: Net) -> Callable[..., Adapter]:
    """Return a maker of LoRAs with random factors on some of the network's layers."""

    def adapter(
        seed: int,
        layers: tuple[str, ...] = LAYERS,
        rank: int = 3,
        alpha: float = 2.0,
        dtype: torch.dtype = torch.float32,
        **card: object,
    ) -> Adapter:
        generator = torch.Generator().manual_seed(seed)
        deltas = {}
        for layer in layers:
            fan_out, *fan_in = net.get_submodule(layer).weight.shape
            down = torch.randn(rank, *fan_in, generator=generator) / 8
            up = torch.randn(fan_out, rank, *(1 for _ in fan_in[1:]), generator=generator) / 4
            deltas[site(layer)] = Lora(down.to(dtype), up.to(dtype), alpha)
        return Adapter(deltas=deltas, card=Card(family="", **card))

    return adapter


def random_delta(kind: str, weight: Tensor, seed: int, rank: int = 2) -> AbstractDelta:
    """Return a delta of any kind for a weight, with random numbers in every part."""
    generator = torch.Generator().manual_seed(seed)
    rank = 8 if kind == "boft" else rank  # smaller blocks do not divide every width here
    fresh = KINDS[kind].fresh(tuple(weight.shape), rank, 1.5, generator, weight=weight)
    parts = {
        name: part + 0.1 * torch.randn(part.shape, generator=generator)
        for name, part in fresh.parts().items()
    }
    return type(fresh).from_parts(parts, fresh.alpha, fresh.settings)
