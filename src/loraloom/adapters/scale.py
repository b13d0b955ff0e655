"""The number that a delta's factors are multiplied by, and whether it can be applied at all."""

from __future__ import annotations

from typing import Final

import torch

from loraloom.adapters.delta import AbstractDelta

FLOAT32: Final = torch.finfo(torch.float32)


def scale_of(delta: AbstractDelta) -> float:
    """Return alpha / rank, times the setting of that name; 1 for kinds without a scale."""
    own = float(delta.settings.get("scale", 1.0))
    return own if delta.alpha is None or delta.rank is None else own * delta.alpha / delta.rank


def is_moderate(delta: AbstractDelta) -> bool:
    """Whether alpha, the scale and all settings are in the range of float32, as it is applied."""
    settings = (value for value in delta.settings.values() if isinstance(value, float))
    numbers = (delta.alpha or 0.0, scale_of(delta), *settings)
    return all(abs(number) <= FLOAT32.max for number in numbers)
