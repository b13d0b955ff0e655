"""From a prepared data set to training rows."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from typing import final

import torch

from loraloom.data.cache import LatentCache
from loraloom.data.example import Example
from loraloom.data.order import Order
from loraloom.training.trainee import Rows


@final
class ExampleFeed:
    """One adapter's endless stream of rows: its own order, its own words, its own draws.

    `compose` makes the prompt for one use of an example; every use of a picture draws its latents
    anew from the posterior that was cached.
    """

    def __init__(
        self,
        examples: Sequence[Example],
        cache: LatentCache,
        order: Order,
        compose: Callable[[Example, random.Random], str],
        *,
        words: random.Random,
        draws: torch.Generator,
        device: torch.device,
        dtype: torch.dtype,
    ) -> None:
        self._examples = examples
        self._cache = cache
        self._order = order
        self._compose = compose
        self._words = words
        self._draws = draws
        self._device = device
        self._dtype = dtype

    def rows(self) -> Rows:
        """Return the next batch."""
        drawn = next(self._order)
        chosen = [self._examples[index] for index in drawn.indices]
        mean, deviation = self._cache.latents([example.path for example in chosen])
        clean = mean + deviation * torch.randn(mean.shape, generator=self._draws)
        captions = [self._compose(example, self._words) for example in chosen]
        return Rows(clean.to(self._device, self._dtype), captions, drawn.epoch)
