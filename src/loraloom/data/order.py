"""The order in which one adapter sees its pictures: endless, and its own."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, final

from loraloom.errors import DatasetError


@dataclass(frozen=True, kw_only=True)
class Draw:
    """One batch: the indices of its examples, and the epoch they belong to, counted from 1."""

    epoch: int
    indices: tuple[int, ...]


def epoch_order(repeats: Sequence[int], generator: random.Random) -> tuple[int, ...]:
    """Return the indices of one epoch in random order, index i exactly `repeats[i]` times."""
    order = [index for index, times in enumerate(repeats) for _ in range(times)]
    generator.shuffle(order)
    return tuple(order)


@final
class Order:
    """Draws batches without end, each epoch shuffled anew; depends on its own generator alone.

    `repeats` holds one number per example, at least one of them, each 1 or more.
    An epoch that `batch_size` does not divide ends on a smaller batch, so that every example is
    used exactly as often as its repeats say, as in kohya's trainer.
    """

    def __init__(
        self, repeats: Sequence[int], *, batch_size: int, generator: random.Random
    ) -> None:
        self._repeats = tuple(repeats)
        self._batch_size = batch_size
        self._generator = generator
        self._epoch = 0
        self._left: tuple[int, ...] = ()

    @property
    def epoch(self) -> int:
        """The epoch of the last batch drawn, counted from 1; 0 before the first."""
        return self._epoch

    @property
    def steps_per_epoch(self) -> int:
        """Batches per epoch, the smaller last one included."""
        return -(-sum(self._repeats) // self._batch_size)

    def __iter__(self) -> Order:
        return self

    def __next__(self) -> Draw:
        if not self._left:
            self._epoch += 1
            self._left = epoch_order(self._repeats, self._generator)
        indices, self._left = self._left[: self._batch_size], self._left[self._batch_size :]
        return Draw(epoch=self._epoch, indices=indices)

    def state(self) -> dict[str, Any]:
        """Return all that the coming draws depend on, as plain JSON data."""
        version, numbers, gauss = self._generator.getstate()
        return {
            "repeats": list(self._repeats),
            "epoch": self._epoch,
            "left": list(self._left),
            "generator": [version, list(numbers), gauss],
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on from a state; DatasetError if the examples or their repeats are others now."""
        if list(state["repeats"]) != list(self._repeats):
            raise DatasetError(
                "dataset.order_changed",
                before=len(state["repeats"]),
                uses_before=sum(state["repeats"]),
                now=len(self._repeats),
                uses_now=sum(self._repeats),
            )
        version, numbers, gauss = state["generator"]
        self._generator.setstate((version, tuple(numbers), gauss))
        self._epoch = state["epoch"]
        self._left = tuple(state["left"])
