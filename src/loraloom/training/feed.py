"""From a prepared data set to training rows."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TypeAlias, final

import torch

from loraloom.data.cache import LatentCache
from loraloom.data.example import Example
from loraloom.data.shot import Shot
from loraloom.data.updates import Update
from loraloom.training.trainee import Rows

Compose: TypeAlias = Callable[[Example, Update, random.Random], str]
"""(example, the step that it is used in, generator) -> the prompt for one use."""


@final
@dataclass(frozen=True, kw_only=True)
class Streams:
    """An adapter's own generators: for its words, its views of pictures, its draws of latents."""

    words: random.Random
    views: random.Random
    draws: torch.Generator


@final
class ExampleFeed:
    """One adapter's endless stream of steps: its own order, its own words, its own draws.

    `shots` tell how each example is shown. `compose` makes the prompt for one use of an example;
    every use draws how the picture is seen, and its latents anew from their posterior. The loss of
    a row is multiplied by the weight of its example, and that of a regularisation picture by
    `prior_loss_weight` too. `place` brings latents to where the networks are.
    """

    def __init__(
        self,
        examples: Sequence[Example],
        shots: Sequence[Shot],
        cache: LatentCache,
        updates: Iterator[Update],
        compose: Compose,
        *,
        streams: Streams,
        prior_loss_weight: float = 1.0,
        place: Callable[[torch.Tensor], torch.Tensor],
    ) -> None:
        self._examples = examples
        self._shots = shots
        self._cache = cache
        self._updates = updates
        self._compose = compose
        self._prior_loss_weight = prior_loss_weight
        self._streams = streams
        self._place = place

    def update(self) -> Sequence[Rows]:
        """Return the batches of the next step."""
        drawn = next(self._updates)
        return [self._rows(indices, drawn) for indices in drawn.batches]

    def _rows(self, indices: Sequence[int], drawn: Update) -> Rows:
        chosen = [self._examples[index] for index in indices]
        streams, shots = self._streams, [self._shots[index] for index in indices]
        kept = self._cache.keeps
        uses = [(shot, shot.augmentation.draw(streams.views, kept=kept)) for shot in shots]
        latents = self._cache.rows(uses)
        noise = torch.randn(latents.means.shape, generator=streams.draws)
        clean = latents.means + latents.deviations * noise
        captions = [self._compose(example, drawn, streams.words) for example in chosen]
        weights = [self._weight(example) for example in chosen]
        return Rows(self._place(clean), captions, drawn.epoch, weights, latents.masks)

    def _weight(self, example: Example) -> float:
        return example.weight * (self._prior_loss_weight if example.regularisation else 1.0)
