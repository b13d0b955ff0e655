"""A span's one delta, worn on several layers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple, final
from weakref import ReferenceType, ref

import torch
from torch import Tensor

from loraloom.adapters.delta import AbstractDelta, Law
from loraloom.adapters.operation import Operation
from loraloom.adapters.strength import Rows, input_of
from loraloom.adapters.target import Target

_LINEAR: Final = Operation(kind="linear")


class _Seen(NamedTuple):
    """What a change was computed from: it is the same as long as all of this is."""

    x: ReferenceType[Tensor]
    writes: tuple[int | None, ...]
    rows: Rows
    grad: bool

    def still(self, x: Tensor, other: _Seen) -> bool:
        """Whether `other` was made of the very tensor `x` that this was made of, unchanged."""
        return (
            self.x() is x
            and self.writes == other.writes
            and self.rows is other.rows
            and self.grad == other.grad
        )


class _Kept(NamedTuple):
    """The change of all the span's layers, until each of those that are `missing` has its part."""

    seen: _Seen
    change: Tensor
    missing: frozenset[int]


@final
class Fused:
    """The change that a delta on a span of linear layers makes, computed once for all of them.

    That they share their input is never assumed: what was computed for one layer serves another
    only if that one is given the very same tensor, with neither it nor the delta written since.
    (In inference mode torch does not count writes, and the same tensor has to do.) The fused
    weight is put together from the live ones when a kind needs it, and let go at once.
    """

    def __init__(self, delta: AbstractDelta, targets: Sequence[Target], law: Law) -> None:
        self._delta = delta
        self._targets = tuple(targets)
        self._law: Law = law
        self._sizes = [target.shape[0] for target in targets]
        self._shape = (sum(self._sizes), *targets[0].shape[1:])
        self._kept: _Kept | None = None

    def weight(self, like: Tensor) -> Tensor:
        """Return the fused weight; its shape alone (no numbers) if the kind asks for no more."""
        if not self._delta.needs_weight:
            return torch.empty(self._shape, dtype=like.dtype, device="meta")
        return torch.cat([target.readable(self._delta.kind, like) for target in self._targets])

    def change(self, index: int, x: Tensor, y: Tensor, rows: Rows) -> Tensor:
        """Return the change at strength 1 of one layer's output for some rows of `x`.

        `y` is that output, for those rows; only its number type matters.
        """
        if torch.compiler.is_compiling():  # what runs twice in one graph, the compiler finds
            return self._part(self._whole(input_of(x, rows, y), y), index, -1)
        seen = _Seen(ref(x), self._writes(x), rows, torch.is_grad_enabled())
        kept, self._kept = self._kept, None
        if kept is None or index not in kept.missing or not kept.seen.still(x, seen):
            everything = frozenset(range(len(self._sizes)))
            kept = _Kept(seen, self._whole(input_of(x, rows, y), y), everything)
        missing = kept.missing - {index}
        if missing:
            self._kept = kept._replace(missing=missing)
        return self._part(kept.change, index, -1)

    def update(self, index: int, strength: float, like: Tensor) -> Tensor:
        """Return the whole update of one layer's weight at a strength."""
        whole = self._delta.lawful(self.weight(like), strength, self._law)
        return self._part(whole, index, 0)

    def _whole(self, x: Tensor, y: Tensor) -> Tensor:
        weight = self.weight(y)
        if not self._delta.needs_weight:
            change = self._delta.branch(x, y, weight, _LINEAR)
            if change is not None:
                return change
        return _LINEAR.apply(x, self._delta.delta(weight).to(y.dtype))

    def _writes(self, x: Tensor) -> tuple[int | None, ...]:
        tensors = (x, *self._delta.parameters())
        return tuple(None if each.is_inference() else each._version for each in tensors)

    def _part(self, whole: Tensor, index: int, axis: int) -> Tensor:
        return torch.split(whole, self._sizes, dim=axis)[index]
