"""Which weights of a network get an adapter: kohya's choice, by the modules' places."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import final

import torch
from torch import nn

from loraloom.adapters.adapter import Adapter, Card
from loraloom.adapters.delta import AbstractDelta
from loraloom.adapters.lora import Lora
from loraloom.adapters.site import Site, canonical_path
from loraloom.adapters.span import Place
from loraloom.errors import UsageError
from loraloom.training.target_table import adapted_blocks


@final
@dataclass(frozen=True, kw_only=True)
class Ranks:
    """Rank and alpha, of linear layers and 1x1 convolutions, and of larger convolutions.

    `convolution` None leaves residual blocks and samplers alone, as kohya's `conv_dim` unset does.
    """

    linear: int
    linear_alpha: float
    convolution: int | None = None
    convolution_alpha: float = 1.0


def target_layers(
    part: str, network: nn.Module, ranks: Ranks
) -> Iterator[tuple[Site, nn.Module, int, float]]:
    """Yield site, layer, rank and alpha of every layer of a network that gets an adapter."""
    blocks = adapted_blocks(part, convolutions=bool(ranks.convolution))
    classes = {name for each in blocks for name in each.classes}
    seen: set[str] = set()
    for outer, block in _modules(network):
        if type(block).__name__ not in classes:
            continue
        for inner, layer in _modules(block):
            path = f"{outer}.{inner}"
            if path in seen or not isinstance(layer, nn.Linear | nn.Conv2d):
                continue
            seen.add(path)
            site = Site(part, canonical_path(part, f"{path}.weight"))
            if layer.weight.shape[2:].numel() == 1:
                yield site, layer, ranks.linear, ranks.linear_alpha
            elif ranks.convolution is not None:
                yield site, layer, ranks.convolution, ranks.convolution_alpha


def _modules(network: nn.Module) -> Iterable[tuple[str, nn.Module]]:
    return network.named_modules()  # pyright: ignore[reportUnknownVariableType]


def fresh_adapter(
    networks: Mapping[str, nn.Module],
    ranks: Ranks,
    card: Card,
    generator: torch.Generator,
    dtype: torch.dtype = torch.float32,
) -> Adapter:
    """Return an untrained LoRA on all target layers of `networks`: worn, it changes nothing."""
    deltas: dict[Place, AbstractDelta] = {
        site: Lora.fresh(tuple(layer.get_parameter("weight").shape), rank, alpha, generator, dtype)
        for part, network in networks.items()
        for site, layer, rank, alpha in target_layers(part, network, ranks)
    }
    if not deltas:
        raise UsageError("train.no_targets", parts=", ".join(networks))
    return Adapter(deltas=deltas, card=card)
