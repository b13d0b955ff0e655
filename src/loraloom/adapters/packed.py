"""Low-rank updates that divide a batch among themselves: a batched product in place of many."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Self, final

import torch
from jaxtyping import Float, Shaped
from torch import Tensor

from loraloom.adapters.operation import Operation
from loraloom.adapters.piece import LowRank, Piece
from loraloom.adapters.strength import Route, input_of


@final
class Packed:
    """Low-rank updates of which each is worn by its own neighbouring rows of a batch.

    Together they cover every row once, as the rows of adapters that are trained together do. One
    product over all of them costs a fraction of the calls, and neither cuts the activations into
    pieces nor fills gradients of whole batches with zeros, as one product for each does.
    """

    def __init__(self, factors: Sequence[LowRank], rows: Sequence[slice]) -> None:
        self._downs = [down for down, _, _ in factors]
        self._ups = [up if scale == 1 else up * scale for _, up, scale in factors]
        self._sizes = [each.stop - each.start for each in rows]
        alike = len({(down.shape, up.shape) for down, up, _ in factors}) == 1
        self._even = alike and len(set(self._sizes)) == 1

    @classmethod
    def of(cls, worn: Sequence[tuple[Piece, Route]], y: Tensor) -> Self | None:
        """Return what is worn in this form; None if it does not have it."""
        if len(worn) < 2 or y.ndim < 2:
            return None
        factors: list[LowRank] = []
        rows: list[slice] = []
        for piece, way in worn:
            if piece.low_rank is None or not isinstance(way.rows, slice):
                return None
            if isinstance(way.scale, Tensor):
                return None
            down, up, scale = piece.low_rank
            factors.append((down.to(y.dtype), up.to(y.dtype), scale * way.scale))
            rows.append(way.rows)
        edges = [0, *(each.stop for each in rows)]
        follow = all(each.start == edge for each, edge in zip(rows, edges, strict=False))
        return cls(factors, rows) if follow and edges[-1] == len(y) else None

    def added_to(
        self, y: Float[Tensor, "batch ..."], x: Shaped[Tensor, "batch ..."], operation: Operation
    ) -> Float[Tensor, "batch ..."]:
        """Return the layer's output with the effects of all updates added."""
        x = input_of(x, None, y)
        if self._even and operation.kind == "linear":
            count, out = len(self._sizes), y.shape[-1]
            inner = torch.bmm(x.reshape(count, -1, x.shape[-1]), torch.stack(self._downs).mT)
            sum_ = torch.baddbmm(y.reshape(count, -1, out), inner, torch.stack(self._ups).mT)
            return sum_.view(y.shape)
        return y + torch.cat(list(self._changes(x, operation)))

    def _changes(self, x: Tensor, operation: Operation) -> Iterator[Tensor]:
        """Yield what each update makes of its own rows, from the first to the last."""
        parts = torch.split(x, self._sizes)
        if not self._even or operation.kind != "convolution":
            for part, down, up in zip(parts, self._downs, self._ups, strict=True):
                yield operation.apply_factors(part, down, up)
            return
        # A convolution of one pixel is a product of matrices, and much faster as one.
        if operation.is_pixelwise and self._downs[0][0, 0].numel() == 1:
            sides = x.shape[2:]
            pixels = x.reshape(len(parts), -1, x.shape[1], sides.numel())
            inner = torch.stack([down.flatten(1) for down in self._downs]).unsqueeze(1) @ pixels
        else:
            each = zip(parts, self._downs, strict=True)
            narrow = torch.stack([operation.apply(part, down) for part, down in each])
            sides, inner = narrow.shape[3:], narrow.flatten(3)
        wide = torch.stack([up.flatten(1) for up in self._ups]).unsqueeze(1) @ inner
        yield wide.view(len(x), -1, *sides)
