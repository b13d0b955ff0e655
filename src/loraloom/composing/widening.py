"""Eight-bit factors in a number type that can be computed with."""

from __future__ import annotations

from loraloom.adapters.delta import AbstractDelta
from loraloom.adapters.eight_bits import computable, is_narrow


def widened(delta: AbstractDelta) -> AbstractDelta:
    """Return the delta with its eight-bit factors in float32; itself if it has none."""
    parts = delta.parts()
    if not any(is_narrow(part) for part in parts.values()):
        return delta
    wide = {name: computable(part) for name, part in parts.items()}
    return type(delta).from_parts(wide, delta.alpha, delta.settings)
