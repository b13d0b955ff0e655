"""A delta at another strength, as a delta of its own kind."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Final

import torch

from loraloom.adapters.delta import AbstractDelta
from loraloom.adapters.full import Full
from loraloom.adapters.loha import Loha
from loraloom.adapters.lokr import Lokr
from loraloom.adapters.lora import Lora


def rescaled(delta: AbstractDelta, factor: float) -> AbstractDelta | None:
    """Return the delta that does `factor` times as much; itself at 1.

    Where a kind has a scale it is put into alpha, and no factor is touched; else one tensor is
    multiplied in float32. None for kinds of which no other strength is of the same kind.
    """
    if factor == 1:
        return delta
    return _WAYS[delta.kind](delta, factor) if delta.kind in _WAYS else None


def _by_alpha(delta: AbstractDelta, factor: float) -> AbstractDelta:
    if delta.rank is None or delta.alpha is None:
        return _by_part("w1")(delta, factor)
    return type(delta).from_parts(delta.parts(), delta.alpha * factor, delta.settings)


def _by_part(name: str) -> Callable[[AbstractDelta, float], AbstractDelta]:
    def scale(delta: AbstractDelta, factor: float) -> AbstractDelta:
        parts = delta.parts()
        exact = torch.promote_types(parts[name].dtype, torch.float32)
        return type(delta).from_parts(
            {**parts, name: parts[name].to(exact) * factor}, delta.alpha, delta.settings
        )

    return scale


_WAYS: Final[Mapping[str, Callable[[AbstractDelta, float], AbstractDelta]]] = MappingProxyType(
    {
        Lora.kind: _by_alpha,
        Loha.kind: _by_alpha,
        Lokr.kind: _by_alpha,
        Full.kind: _by_part("diff"),
    }
)
