"""An adapter as numbers, without its tensors: which weights it touches, and how."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import final

from loraloom.adapters.card import Card
from loraloom.adapters.site import Site


@final
@dataclass(frozen=True, kw_only=True)
class Layer:
    """What an adapter does at one site.

    `alpha` None means that nothing tells it: the scale is 1. `weight` is the shape of the weight,
    None where the factors cannot know a side.
    """

    kind: str
    rank: int
    alpha: float | None
    weight: tuple[int | None, ...]

    @property
    def scale(self) -> float:
        """alpha / rank."""
        return 1.0 if self.alpha is None else self.alpha / self.rank

    @property
    def told_alpha(self) -> float:
        """Alpha, where it is not told the rank, which is the same."""
        return float(self.rank) if self.alpha is None else self.alpha

    @property
    def is_convolution(self) -> bool:
        """Whether it covers more than one pixel; trainers give such layers a rank of their own."""
        return any((side or 1) > 1 for side in self.weight[2:])


@final
@dataclass(frozen=True, kw_only=True)
class Outline:
    """A card, and a layer for every site."""

    card: Card
    layers: Mapping[Site, Layer]

    @property
    def networks(self) -> tuple[str, ...]:
        """The parts touched, in order of first appearance."""
        return tuple(dict.fromkeys(site.part for site in self.layers))

    def of(self, part: str) -> Mapping[Site, Layer]:
        """Return the layers of one network."""
        return {site: layer for site, layer in self.layers.items() if site.part == part}
