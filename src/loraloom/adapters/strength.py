"""How strongly an adapter is worn: one number, one per place, or one per row of the batch."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TypeAlias

import torch
from torch import Tensor

RowStrength: TypeAlias = float | Tensor
Strength: TypeAlias = RowStrength | Mapping[str, RowStrength]
"""A number, a tensor with one number per row of the batch, or either of them by path prefix:
`{"unet": 1.0, "unet.up_blocks.0": 0.4}`. The longest prefix that a site lies under counts, the
empty one lies above all, and a site under none of them is at 0."""

Rows: TypeAlias = slice | Tensor | None
"""Some rows of a batch, by their numbers; None is all of them."""


def part_of(tensor: Tensor, rows: Rows) -> Tensor:
    """Return some rows of a tensor; the tensor itself where that is all of them."""
    return tensor if rows is None else tensor[rows]


def input_of(x: Tensor, rows: Rows, y: Tensor) -> Tensor:
    """Return some rows of a layer's input in the number type that its output `y` has.

    The two differ under autocast. Token numbers, which an embedding has for input, stay as they
    are.
    """
    part = part_of(x, rows)
    return part.to(y.dtype) if part.is_floating_point() else part


@dataclass(frozen=True)
class Route:
    """Which rows of a batch wear an adapter, and how strongly.

    `rows` None means all of them; neighbouring rows come as a slice, so that routing a batch to
    its adapters copies nothing. `scale` holds one number for all, or one per routed row. `batch`
    is the number of rows that the layer must see, None where it does not matter.
    """

    rows: Rows
    scale: float | Tensor
    batch: int | None

    @property
    def uniform(self) -> bool:
        """Whether all rows wear the adapter alike."""
        return self.rows is None and not isinstance(self.scale, Tensor)

    def by_strength(self) -> Iterator[tuple[Rows, float]]:
        """Yield the rows that share a strength, for each strength that occurs."""
        if not isinstance(self.scale, Tensor):
            yield self.rows, self.scale
            return
        assert self.batch is not None
        numbers = torch.arange(self.batch, device=self.scale.device)
        numbers = numbers if self.rows is None else numbers[self.rows]
        for strength in sorted({float(each) for each in self.scale}):
            yield numbers[self.scale == strength], strength


def routes(strength: Strength) -> dict[str, Route | None]:
    """Return the routes of an adapter by path prefix; None where nothing wears it."""
    if isinstance(strength, Mapping):
        return {prefix: route(each) for prefix, each in strength.items()}
    return {"": route(strength)}


def route(strength: RowStrength) -> Route | None:
    """Return the route of an adapter at one strength; None if nothing wears it."""
    if isinstance(strength, Tensor) and strength.ndim == 0:
        strength = float(strength)
    if not isinstance(strength, Tensor):
        return None if strength == 0 else Route(None, strength, None)
    worn = strength.nonzero().flatten()
    if len(worn) == 0:
        return None
    scale: float | Tensor = strength[worn]
    if torch.all(scale == scale[0]):
        scale = float(scale[0])
    first, last = int(worn[0]), int(worn[-1])
    rows: Rows = worn
    if len(worn) == len(strength):
        rows = None
    elif last - first + 1 == len(worn):
        rows = slice(first, last + 1)
    return Route(rows, scale, len(strength))
