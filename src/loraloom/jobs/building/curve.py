"""Learning rates over the steps of a run."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import final


@final
@dataclass(frozen=True, kw_only=True)
class Curve:
    """Linear warm-up to `peak`, then a cosine down to `floor` at `steps`."""

    peak: float
    floor: float
    warmup: int
    steps: int

    def __call__(self, step: int) -> float:
        """Return the learning rate of a step, counted from 0."""
        if step < self.warmup:
            return self.peak * (step + 1) / self.warmup
        share = min(1.0, (step - self.warmup) / max(1, self.steps - self.warmup))
        return self.floor + (self.peak - self.floor) * 0.5 * (1 + math.cos(math.pi * share))


@final
@dataclass(frozen=True)
class Prolonged:
    """Curves of a run that was prolonged: each holds until its step, the last to the end.

    All are counted from step 0, so that the rate jumps up where a longer curve takes over.
    """

    legs: tuple[tuple[int, Curve], ...]

    @property
    def peak(self) -> float:
        """Return the highest learning rate of the first curve."""
        return self.legs[0][1].peak

    def __call__(self, step: int) -> float:
        """Return the learning rate of a step, counted from 0."""
        curve = next((each for until, each in self.legs if step < until), self.legs[-1][1])
        return curve(step)
