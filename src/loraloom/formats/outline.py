"""An adapter as numbers, without its tensors: which weights it touches, and how."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import final

from loraloom.adapters.card import Card
from loraloom.adapters.span import Place
from loraloom.formats.layout import LAYOUT_OF, Claimed, Layout
from loraloom.formats.rearrangement import Settings, Shape


@final
@dataclass(frozen=True, kw_only=True)
class Layer:
    """What an adapter does at one site or span.

    `alpha` None means that nothing tells it: the scale is 1; `rank` None that the kind has none.
    `weight` is the shape of the weight, None where the parts cannot know a side. `shapes` are those
    of the parts, by name.
    """

    kind: str
    rank: int | None
    alpha: float | None
    weight: Claimed
    shapes: Mapping[str, Shape]
    settings: Settings = field(default_factory=lambda: MappingProxyType({}))

    @property
    def layout(self) -> Layout:
        """What its kind is made of."""
        return LAYOUT_OF[self.kind]

    @property
    def scale(self) -> float:
        """alpha / rank; 1 for kinds without."""
        return 1.0 if self.alpha is None or self.rank is None else self.alpha / self.rank

    @property
    def told_alpha(self) -> float:
        """Alpha, where it is not told the rank, which is the same; 1 for kinds without."""
        return float(self.rank or 1) if self.alpha is None else self.alpha

    @property
    def is_convolution(self) -> bool:
        """Whether it covers more than one pixel; trainers give such layers a rank of their own."""
        return any((side or 1) > 1 for side in self.weight[2:])


@final
@dataclass(frozen=True, kw_only=True)
class Outline:
    """A card, and a layer for every site or span."""

    card: Card
    layers: Mapping[Place, Layer]

    @property
    def networks(self) -> tuple[str, ...]:
        """The parts touched, in order of first appearance."""
        return tuple(dict.fromkeys(place.part for place in self.layers))

    def of(self, part: str) -> Mapping[Place, Layer]:
        """Return the layers of one network."""
        return {place: layer for place, layer in self.layers.items() if place.part == part}
