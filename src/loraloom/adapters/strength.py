"""How strongly an adapter is worn: one number, one per part, or one per row of the batch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeAlias

import torch
from torch import Tensor

RowStrength: TypeAlias = float | Tensor
Strength: TypeAlias = RowStrength | Mapping[str, RowStrength]


@dataclass(frozen=True)
class Route:
    """Which rows of a batch wear an adapter, and how strongly.

    `rows` None means all of them; neighbouring rows come as a slice, so that routing a batch to
    its adapters copies nothing. `scale` holds one number for all, or one per routed row. `batch`
    is the number of rows that the layer must see, None where it does not matter.
    """

    rows: slice | Tensor | None
    scale: float | Tensor
    batch: int | None


def route(strength: Strength, part: str) -> Route | None:
    """Return the route of an adapter through one network; None if nothing there wears it."""
    if isinstance(strength, Mapping):
        strength = strength.get(part, 0.0)
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
    rows: slice | Tensor | None = worn
    if len(worn) == len(strength):
        rows = None
    elif last - first + 1 == len(worn):
        rows = slice(first, last + 1)
    return Route(rows, scale, len(strength))
