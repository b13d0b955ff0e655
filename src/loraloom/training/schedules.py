"""Learning rates over a run, as factors of the peak."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Final

Schedule = Callable[[int, int, int], float]
"""(step, total steps, warm-up steps) -> factor; steps count from 0."""


def constant(step: int, total: int, warmup: int) -> float:
    """Return 1 throughout: no warm-up, as kohya's and diffusers' `constant`."""
    return 1.0


def constant_with_warmup(step: int, total: int, warmup: int) -> float:
    """Rise linearly from 0 over the warm-up, then stay at 1."""
    return min(1.0, step / warmup) if warmup else 1.0


def linear(step: int, total: int, warmup: int) -> float:
    """Rise over the warm-up, then fall linearly to 0 at the end."""
    if step < warmup:
        return step / warmup
    return max(0.0, (total - step) / max(1, total - warmup))


def cosine(step: int, total: int, warmup: int) -> float:
    """Rise over the warm-up, then follow half a cosine down to 0."""
    if step < warmup:
        return step / warmup
    share = (step - warmup) / max(1, total - warmup)
    return max(0.0, 0.5 * (1 + math.cos(math.pi * share)))


SCHEDULES: Final[Mapping[str, Schedule]] = MappingProxyType(
    {
        "constant": constant,
        "constant_with_warmup": constant_with_warmup,
        "linear": linear,
        "cosine": cosine,
    }
)
"""Name, as in kohya's and diffusers' `lr_scheduler` -> schedule."""
