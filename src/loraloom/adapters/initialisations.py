"""How untrained factors are drawn: on the CPU in float32, so that a seed means one thing."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Final, Literal, TypeAlias

import torch
from torch import Tensor

Initialisation: TypeAlias = Literal["kaiming", "gaussian"]


def kaiming(shape: tuple[int, ...], generator: torch.Generator) -> Tensor:
    """Draw uniformly in +-1/sqrt(fan_in): Kaiming-uniform with a = sqrt(5).

    The fan-in is everything but the first dimension. kohya's, LyCORIS's and PEFT's default.
    """
    bound = 1 / math.sqrt(math.prod(shape[1:]))
    return torch.empty(shape).uniform_(-bound, bound, generator=generator)


def gaussian(shape: tuple[int, ...], generator: torch.Generator) -> Tensor:
    """Draw normally with a deviation of 1 / rank, the first dimension: PEFT's other way."""
    return normal(shape, 1 / shape[0], generator)


def normal(shape: tuple[int, ...], deviation: float, generator: torch.Generator) -> Tensor:
    """Draw normally around 0."""
    return torch.empty(shape).normal_(0, deviation, generator=generator)


INITIALISATIONS: Final[
    Mapping[Initialisation, Callable[[tuple[int, ...], torch.Generator], Tensor]]
] = MappingProxyType({"kaiming": kaiming, "gaussian": gaussian})
