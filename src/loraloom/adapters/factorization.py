"""Into which two factors LyCORIS divides a dimension, for adapters that begin here."""

from __future__ import annotations

import math


def factorization(dimension: int, factor: int = -1) -> tuple[int, int]:
    """Return (m, n) with m * n = dimension and m <= n.

    A `factor` that divides the dimension is one of them. Otherwise m is as near to the square
    root as divisors allow, and no larger than a positive `factor`. Compared with LyCORIS 4.1.3.
    """
    if factor > 0 and dimension % factor == 0:
        return min(factor, dimension // factor), max(factor, dimension // factor)
    limit = math.isqrt(dimension)
    if factor >= 0:
        limit = min(limit, factor)
    m = next((m for m in range(limit, 1, -1) if dimension % m == 0), 1)
    return m, dimension // m


def butterfly_factorization(dimension: int, factor: int = -1) -> tuple[int, int] | None:
    """Return (m, n) with m * n = dimension, m even and n a power of two; None if there is none.

    m is the largest that is not above a positive `factor`. Compared with LyCORIS 4.1.3.
    """
    limit = dimension if factor < 0 else min(factor, dimension)
    for m in range(limit - limit % 2, 1, -2):
        if dimension % m == 0 and (dimension // m).bit_count() == 1:
            return m, dimension // m
    return None
