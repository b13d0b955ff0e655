"""The order in which one adapter sees its pictures: endless, and its own."""

from __future__ import annotations

import random
from collections import Counter, deque
from collections.abc import Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, final

from loraloom.errors import DatasetError

MOST_USES: Final = 10**7
"""How many uses an epoch may have: its order is kept whole, in about 160 bytes a use."""


@dataclass(frozen=True, kw_only=True)
class Draw:
    """One batch: the indices of its examples, and the epoch they belong to, counted from 1.

    `last`: no other batch of that epoch follows.
    """

    epoch: int
    indices: tuple[int, ...]
    last: bool


def epoch_order(repeats: Sequence[int], generator: random.Random) -> tuple[int, ...]:
    """Return the indices of one epoch in random order, index i exactly `repeats[i]` times.

    DatasetError for more than `MOST_USES`.
    """
    if sum(repeats) > MOST_USES:
        raise DatasetError("dataset.epoch_long", uses=sum(repeats), most=MOST_USES)
    order = [index for index, times in enumerate(repeats) for _ in range(times)]
    generator.shuffle(order)
    return tuple(order)


def in_batches(
    order: Sequence[int], buckets: Sequence[Hashable], batch_size: int
) -> tuple[tuple[int, ...], ...]:
    """Return indices in batches of one bucket each, those first whose first index comes first.

    The last batch of a bucket is smaller where `batch_size` does not divide its uses, as in
    kohya's trainer. As the order is random, so is that of the buckets.
    """
    batches: list[list[int]] = []
    latest: dict[Hashable, list[int]] = {}
    for index in order:
        batch = latest.get(buckets[index])
        if batch is None or len(batch) == batch_size:
            batch = latest[buckets[index]] = []
            batches.append(batch)
        batch.append(index)
    return tuple(tuple(batch) for batch in batches)


def batches_by_bucket(
    repeats: Sequence[int], buckets: Sequence[Hashable], batch_size: int
) -> Mapping[Hashable, int]:
    """Return how many batches of each bucket an epoch has."""
    uses: Counter[Hashable] = Counter()
    for times, bucket in zip(repeats, buckets, strict=True):
        uses[bucket] += times
    return {bucket: -(-count // batch_size) for bucket, count in uses.items()}


@final
class Order(Iterator[Draw]):
    """Draws batches without end, each epoch shuffled anew; depends on its own generator alone.

    `repeats` holds one number per example, at least one of them, each 1 or more; `buckets` tells
    which examples may share a batch, all of them if it is left out. Every example is used exactly
    as often in an epoch as its repeats say, for which some batches are smaller than `batch_size`.
    """

    def __init__(
        self,
        repeats: Sequence[int],
        *,
        buckets: Sequence[Hashable] | None = None,
        batch_size: int,
        generator: random.Random,
    ) -> None:
        self._repeats = tuple(repeats)
        self._buckets = (None,) * len(self._repeats) if buckets is None else tuple(buckets)
        self._batch_size = batch_size
        self._generator = generator
        self._epoch = 0
        self._left: deque[tuple[int, ...]] = deque()

    @property
    def epoch(self) -> int:
        """The epoch of the last batch drawn, counted from 1; 0 before the first."""
        return self._epoch

    @property
    def batches_per_epoch(self) -> int:
        """Batches per epoch, the smaller ones included."""
        return sum(batches_by_bucket(self._repeats, self._buckets, self._batch_size).values())

    def __next__(self) -> Draw:
        if not self._left:
            self._epoch += 1
            order = epoch_order(self._repeats, self._generator)
            self._left.extend(in_batches(order, self._buckets, self._batch_size))
        indices = self._left.popleft()
        return Draw(epoch=self._epoch, indices=indices, last=not self._left)

    def state(self) -> dict[str, Any]:
        """Return all that the coming draws depend on, as plain JSON data."""
        version, numbers, gauss = self._generator.getstate()
        return {
            "repeats": list(self._repeats),
            "epoch": self._epoch,
            "left": [list(batch) for batch in self._left],
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
        self._left = deque(tuple(batch) for batch in state["left"])
