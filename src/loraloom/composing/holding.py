"""The weights that one tensor of a checkpoint holds, and the tensor again."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate, pairwise
from typing import final

import torch
from torch import Tensor

from loraloom.adapters.site import Site
from loraloom.composing.change import Shape
from loraloom.composing.checkpoint import Checkpoint
from loraloom.errors import ModelError
from loraloom.formats.naming.meaning import Meaning


@final
@dataclass(frozen=True)
class Holding:
    """How one tensor is cut into the weights it holds.

    It may be transposed, have its halves swapped, and have several weights stacked by rows; all
    that comes from its meaning and its shape, and is undone in `joined` in the opposite order.
    """

    sites: tuple[Site, ...]
    rows: tuple[int, ...]
    columns: Shape
    transposed: bool
    swapped: bool

    @classmethod
    def of(cls, name: str, meaning: Meaning, checkpoint: Checkpoint) -> Holding:
        """Tell from a tensor's meaning; one whose rows cannot be shared out is a `ModelError`.

        A single number is no weight, and must not be asked for.
        """
        shape = checkpoint[name].shape
        transposed = meaning.transposed and len(shape) > 1
        height, *columns = list(shape)
        if transposed:
            height, columns[0] = columns[0], height
        width = columns[0] if columns else _width(name, checkpoint)
        rows = meaning.rows.counts(len(meaning.sites), height, width)
        if rows is None:
            sites = ", ".join(map(str, meaning.sites))
            raise ModelError("composing.fused_rows", name=name, shape=shape, sites=sites)
        swapped = meaning.halves.swaps(height, width)
        return cls(meaning.sites, rows, tuple(columns), transposed, swapped)

    @property
    def shapes(self) -> Mapping[Site, Shape]:
        """The shape of each weight."""
        return {
            site: (count, *self.columns) for site, count in zip(self.sites, self.rows, strict=True)
        }

    def parted(self, tensor: Tensor) -> Mapping[Site, Tensor]:
        """Return the weights that the tensor holds, as views or copies."""
        if self.transposed:
            tensor = tensor.transpose(0, 1)
        if self.swapped:
            tensor = _swapped(tensor)
        edges = list(accumulate(self.rows, initial=0))
        pieces = [tensor[start:stop] for start, stop in pairwise(edges)]
        return dict(zip(self.sites, pieces, strict=True))

    def joined(self, weights: Sequence[Tensor]) -> Tensor:
        """Return the tensor that holds weights, given in the order of the sites."""
        tensor = weights[0] if len(weights) == 1 else torch.cat(list(weights))
        if self.swapped:
            tensor = _swapped(tensor)
        return tensor.transpose(0, 1) if self.transposed else tensor


def _width(name: str, checkpoint: Checkpoint) -> int:
    """Return the number of columns of the weight that a bias goes with; 0 if there is none."""
    weight = checkpoint.get(name.removesuffix("bias") + "weight")
    return weight.shape[1] if weight is not None and len(weight.shape) > 1 else 0


def _swapped(tensor: Tensor) -> Tensor:
    return torch.cat(tensor.chunk(2)[::-1])
