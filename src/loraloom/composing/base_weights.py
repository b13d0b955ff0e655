"""The base's weights, for kinds of adapter whose change depends on them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import final

import torch
from torch import Tensor

from loraloom.adapters.site import Site
from loraloom.adapters.span import Place
from loraloom.composing.change import Shape
from loraloom.composing.checkpoint import Checkpoint, Stored
from loraloom.composing.holding import Holding
from loraloom.formats.naming.meaning import Meaning


@final
@dataclass(frozen=True)
class BaseWeights:
    """What the base's weights look like, and how to read one, in its own number type."""

    shapes: Mapping[Site, Shape]
    read: Callable[[Site], Tensor]

    @classmethod
    def of(cls, weights: Mapping[Site, Tensor]) -> BaseWeights:
        """Return weights at hand."""
        shapes = {site: tuple(weight.shape) for site, weight in weights.items()}
        return cls(shapes, weights.__getitem__)

    @classmethod
    def in_checkpoint(cls, checkpoint: Checkpoint, meanings: Mapping[str, Meaning]) -> BaseWeights:
        """Return the weights that the tensors of a checkpoint mean, each read when asked for.

        Single numbers, as networks keep them for bookkeeping, are not among them.
        """
        shapes: dict[Site, Shape] = {}
        owners: dict[Site, tuple[Stored, Holding]] = {}
        for name, meaning in meanings.items():
            if not checkpoint[name].shape:
                continue
            holding = Holding.of(name, meaning, checkpoint)
            shapes.update(holding.shapes)
            owners.update(dict.fromkeys(holding.sites, (checkpoint[name], holding)))
        return cls(shapes, partial(_read, owners))

    def shape(self, place: Place) -> Shape:
        """Return the shape of the weight at a place, that of a span being stacked by rows."""
        shapes = [self.shapes[site] for site in place.sites]
        return (sum(shape[0] for shape in shapes), *shapes[0][1:])

    def weight(self, place: Place) -> Tensor:
        """Return the weight at a place."""
        weights = [self.read(site) for site in place.sites]
        return weights[0] if len(weights) == 1 else torch.cat(weights)


def _read(owners: Mapping[Site, tuple[Stored, Holding]], site: Site) -> Tensor:
    stored, holding = owners[site]
    return holding.parted(stored.read())[site]
