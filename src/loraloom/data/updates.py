"""What each step of one adapter is trained on: batches of one bucket, and pictures of the class."""

from __future__ import annotations

import random
from collections.abc import Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any, final

from loraloom.data.example import Example
from loraloom.data.order import Order, batches_by_bucket, in_batches


@dataclass(frozen=True, kw_only=True)
class Update:
    """The batches of one step, each of one bucket, as indices of examples.

    `epoch` is counted from 1, `step` from 0.
    """

    epoch: int
    step: int
    batches: tuple[tuple[int, ...], ...]


@dataclass(frozen=True, kw_only=True)
class Epoch:
    """What an epoch comes to: uses of training pictures, and batches of them by bucket.

    With regularisation pictures every step shows as many of them besides.
    """

    uses: int
    batches: Mapping[Hashable, int]
    accumulation: int

    @property
    def steps(self) -> int:
        """Optimizer steps; the last one may gather fewer batches."""
        return -(-sum(self.batches.values()) // self.accumulation)


def count_epoch(
    examples: Sequence[Example],
    buckets: Sequence[Hashable],
    *,
    batch_size: int,
    accumulation: int = 1,
) -> Epoch:
    """Return what an epoch of some examples comes to, each being in one of the buckets."""
    taught = _numbers(examples, regularisation=False)
    repeats = [examples[number].repeats for number in taught]
    batches = batches_by_bucket(repeats, [buckets[number] for number in taught], batch_size)
    return Epoch(uses=sum(repeats), batches=batches, accumulation=accumulation)


@final
class Updates(Iterator[Update]):
    """Draws steps without end.

    An epoch uses every training picture exactly as often as its repeats say: no batch is left out,
    and no step gathers batches of two epochs. Every step shows as many regularisation pictures as
    training pictures, drawn from an order of their own that goes on from epoch to epoch, so that
    all of them get their turn however many there are. Forward passes hold `batch_size` at most.
    """

    def __init__(
        self,
        examples: Sequence[Example],
        buckets: Sequence[Hashable],
        *,
        batch_size: int,
        accumulation: int = 1,
        generator: random.Random,
        regularisation_generator: random.Random,
    ) -> None:
        self._buckets = buckets
        self._batch_size = batch_size
        self._accumulation = accumulation
        self._taught = _numbers(examples, regularisation=False)
        self._class = _numbers(examples, regularisation=True)
        self._step = 0
        self._order = Order(
            [examples[number].repeats for number in self._taught],
            buckets=[buckets[number] for number in self._taught],
            batch_size=batch_size,
            generator=generator,
        )
        # One by one, so that any number of them can be taken.
        self._class_order = Order(
            [examples[number].repeats for number in self._class],
            batch_size=1,
            generator=regularisation_generator,
        )

    def __next__(self) -> Update:
        draws = [next(self._order)]
        while len(draws) < self._accumulation and not draws[-1].last:
            draws.append(next(self._order))
        batches = tuple(tuple(self._taught[i] for i in draw.indices) for draw in draws)
        if self._class:
            drawn = islice(self._class_order, sum(map(len, batches)))
            shown = [self._class[draw.indices[0]] for draw in drawn]
            batches += in_batches(shown, self._buckets, self._batch_size)
        self._step += 1
        return Update(epoch=draws[0].epoch, step=self._step - 1, batches=batches)

    def state(self) -> dict[str, Any]:
        """Return all that the coming draws depend on, as plain JSON data."""
        return {
            "step": self._step,
            "order": self._order.state(),
            "regularisation": self._class_order.state(),
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on from a state; DatasetError if the examples or their repeats are others now."""
        self._order.restore(state["order"])
        self._class_order.restore(state["regularisation"])
        self._step = state["step"]


def _numbers(examples: Sequence[Example], *, regularisation: bool) -> tuple[int, ...]:
    """Return the indices of the examples of one of the two sorts."""
    return tuple(i for i, each in enumerate(examples) if each.regularisation == regularisation)
