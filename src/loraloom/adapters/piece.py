"""One adapter's delta at one site of a live network, and what it does to the layer's output."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TypeAlias, final

import torch
from torch import Tensor

from loraloom.adapters.delta import AbstractDelta, Law
from loraloom.adapters.fused import Fused
from loraloom.adapters.operation import Operation
from loraloom.adapters.strength import Route, Rows, input_of, part_of
from loraloom.adapters.target import Target

LowRank: TypeAlias = tuple[Tensor, Tensor, float]
"""What `AbstractDelta.low_rank` returns."""


@final
@dataclass(eq=False, kw_only=True)
class Piece:
    """One adapter's delta at one site.

    `fused` and `index` are set where the delta lies on a span, of which this site is one. `prefix`
    is the entry of the adapter's strengths that holds here, None if none does.

    `low_rank` are the factors and scale of an update that is worn as a product; a convolution's
    groups are left out, as the factors of all of them can be more than the update. `proportional`
    tells that the law makes the update a multiple of the strength. `away` tells that the weight
    had no device when the delta was put on (it is offloaded between two calls), so the delta goes
    where the layer's output is.
    """

    adapter: str
    target: Target
    delta: AbstractDelta
    law: Law
    fused: Fused | None = None
    index: int = 0
    prefix: str | None = None
    low_rank: LowRank | None = field(init=False)
    proportional: bool = field(init=False)
    away: bool = field(init=False)

    def __post_init__(self) -> None:
        self.away = self.target.weight.is_meta
        own_law = type(self.delta).lawful is not AbstractDelta.lawful
        self.proportional = self.law == "linear" or not own_law
        operation = self.target.operation
        whole = self.fused is None and operation is not None and operation.groups == 1
        whole = whole and self.target.parameter != "bias" and self.proportional
        self.low_rank = self.delta.low_rank() if whole else None

    def changes(
        self, x: Tensor, y: Tensor, way: Route, operation: Operation
    ) -> Iterator[tuple[Rows, float | Tensor, Tensor]]:
        """Yield rows of the layer's output without bias, `y`, their strengths and their changes.

        A change is to be multiplied by its strength.
        """
        if self.proportional:
            yield way.rows, way.scale, self._change(x, part_of(y, way.rows), way.rows, operation)
            return
        for rows, strength in way.by_strength():
            update = self.update(strength, y)
            yield rows, 1.0, self._effect(update, x, part_of(y, rows), rows, operation)

    def update(self, strength: float, like: Tensor) -> Tensor:
        """Return the whole update of the parameter at a strength."""
        if self.fused is not None:
            return self.fused.update(self.index, strength, like)
        return self.delta.lawful(self._weight(like), strength, self.law)

    def _change(self, x: Tensor, y: Tensor, rows: Rows, operation: Operation) -> Tensor:
        if self.fused is not None:
            return self.fused.change(self.index, x, y, rows)
        weight = self._weight(y)
        if self.target.parameter != "bias":
            change = self.delta.branch(input_of(x, rows, y), y, weight, operation)
            if change is not None:
                return change
        return self._effect(self.delta.delta(weight), x, y, rows, operation)

    def _effect(
        self, update: Tensor, x: Tensor, y: Tensor, rows: Rows, operation: Operation
    ) -> Tensor:
        """Return what an update of the parameter does to those rows of the output."""
        update = update.to(y.dtype)
        if self.target.parameter == "bias":
            return operation.add_bias(torch.zeros_like(y), update)
        return operation.apply(input_of(x, rows, y), update)

    def _weight(self, like: Tensor) -> Tensor:
        """Return the live parameter; its shape alone (no numbers) if the kind asks for no more."""
        if self.delta.needs_weight:
            return self.target.readable(self.delta.kind, like)
        weight = self.target.weight
        if weight.shape == self.target.shape:
            return weight
        return torch.empty(self.target.shape, dtype=like.dtype, device="meta")
