"""Tiny networks of the Stable Diffusion 1 architecture, and an adapter on all of their layers."""

from __future__ import annotations

import copy
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from loraloom.adapters.adapter import Adapter
from loraloom.adapters.card import Card
from loraloom.adapters.delta import AbstractDelta
from loraloom.adapters.lora import Lora
from loraloom.adapters.site import Site, canonical_path

from ..tiny_base import build_tiny

Networks = dict[str, nn.Module]


@pytest.fixture
def card() -> Card:
    """Return a card with every field filled."""
    return Card(
        family="sd1",
        name="cat",
        base="playground",
        base_hash="ab" * 32,
        triggers=("sks cat", "고양이"),
        recipe={"learning_rate": 1e-4, "network_dim": 4, "seed": 7, "betas": [0.9, 0.999]},
        facts={"steps": 120, "images": 12, "tag_frequency": {"10_cat": {"cat": 12}}},
    )


@pytest.fixture(scope="session")
def networks() -> Networks:
    """Return the tiny base's networks. Not to be changed: see `copies`."""
    return dict(build_tiny().networks)


@pytest.fixture
def copies(networks: Networks) -> Networks:
    """Return the networks to do with as one likes."""
    return copy.deepcopy(networks)


@pytest.fixture(scope="session")
def make_adapter(networks: Networks) -> Callable[..., Adapter]:
    """Return a maker of adapters with random factors on all linear layers and convolutions."""
    layers = {
        Site(part, canonical_path(part, f"{path}.weight")): layer
        for part, network in networks.items()
        for path, layer in network.named_modules()
        if isinstance(layer, nn.Linear | nn.Conv2d)
    }

    def make(
        card: Card,
        ranks: tuple[int, ...] = (1, 2, 3),
        scales: tuple[float, ...] = (1.0, 0.5, 2.0, 1 / 3),
        parts: tuple[str, ...] = ("unet", "text_encoder"),
        dtype: torch.dtype = torch.float32,
    ) -> Adapter:
        generator = torch.Generator().manual_seed(1)
        deltas: dict[Site, AbstractDelta] = {}
        for index, (site, layer) in enumerate(layers.items()):
            if site.part in parts:
                fan_out, *fan_in = layer.get_parameter("weight").shape
                rank, scale = ranks[index % len(ranks)], scales[index % len(scales)]
                down = torch.randn(rank, *fan_in, generator=generator) / 4
                up = torch.randn(fan_out, rank, *(1 for _ in fan_in[1:]), generator=generator) / 4
                deltas[site] = Lora(down.to(dtype), up.to(dtype), rank * scale)
        return Adapter(deltas=deltas, card=card)

    return make


@pytest.fixture
def adapter(make_adapter: Callable[..., Adapter], card: Card) -> Adapter:
    """Return an adapter on every layer, ranks and scales mixed."""
    return make_adapter(card)


@pytest.fixture(scope="session")
def run() -> Callable[[Networks], Tensor]:
    """Return a function: the UNet's output on a fixed input, conditioned by the text encoder."""
    generator = torch.Generator().manual_seed(2)
    noisy = torch.randn(2, 4, 8, 8, generator=generator)
    tokens = torch.tensor([[0, 5, 9, 3, 1, 1], [0, 8, 2, 7, 4, 1]])

    @torch.no_grad()
    def output(networks: Networks) -> Tensor:
        context = networks["text_encoder"](tokens).last_hidden_state
        return networks["unet"](noisy, torch.tensor([10, 700]), context).sample

    return output


@pytest.fixture(scope="session")
def same() -> Callable[[Adapter, Adapter], None]:
    """Return an assertion: two adapters hold the same sites, bits, types, alphas and card."""

    def check(first: Adapter, second: Adapter) -> None:
        assert first.card == second.card
        assert first.deltas.keys() == second.deltas.keys()
        for site, delta in first.deltas.items():
            other = second.deltas[site]
            assert (delta.kind, delta.alpha) == (other.kind, other.alpha), site
            assert delta.parts().keys() == other.parts().keys()
            for part, tensor in delta.parts().items():
                assert tensor.dtype == other.parts()[part].dtype
                assert torch.equal(tensor, other.parts()[part]), (site, part)

    return check
