"""Shapes of weights, as far as an adapter can know them."""

from __future__ import annotations

import math
from collections.abc import Sequence


def fits(claimed: Sequence[int | None], expected: Sequence[int]) -> bool:
    """Tell whether a weight's shape is one an adapter was made for; None may be any side.

    Files write the factors of one layer with or without its kernel, so behind the rows only the
    number of columns counts.
    """
    if not claimed or not expected:
        return len(claimed) == len(expected)
    rows, *inner = claimed
    known = [side for side in inner if side is not None]
    return rows in (None, expected[0]) and (
        len(known) < len(inner) or math.prod(known) == math.prod(expected[1:])
    )
