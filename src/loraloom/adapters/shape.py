"""Shapes of weights, as far as an adapter can know them."""

from __future__ import annotations

from collections.abc import Sequence


def fits(claimed: Sequence[int | None], expected: Sequence[int]) -> bool:
    """Tell whether a weight's shape is the one an adapter was made for; None may be any side."""
    return len(claimed) == len(expected) and all(
        ours is None or ours == theirs for ours, theirs in zip(claimed, expected, strict=True)
    )
