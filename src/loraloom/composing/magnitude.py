"""The magnitude from which the largest entries of several matrices are kept, found in one pass."""

from __future__ import annotations

import math
from collections.abc import Callable, Generator, Iterable, Sequence
from typing import Final

import torch
from jaxtyping import Float
from torch import Tensor

from loraloom.composing.change import Change
from loraloom.composing.sparsity import threshold

_STEP: Final = 61
"""Every how many rows one is looked at first; a prime, which no width divides."""
_MARGIN: Final = 0.005
"""By how large a share of all entries the first look may be wrong."""


def least_magnitude(
    changes: Sequence[Callable[[], Change]], density: float
) -> Generator[None, None, float]:
    """Return the magnitude at or above which lies this share of all entries, exactly.

    A sample of rows tells about where it lies; then the entries near it alone are held and
    ordered, and those above are counted. Yields after each change. Should the sample have misled,
    all are counted by `threshold`, which takes two more passes.
    """
    low, high = _bracket([change().part(slice(0, None, _STEP)) for change in changes], density)
    total, above, inside = 0, 0, list[Tensor]()
    for change in changes:
        magnitudes = change().entries().abs()
        total += magnitudes.numel()
        above += int((magnitudes >= high).sum())
        inside.append(magnitudes[(magnitudes >= low) & (magnitudes < high)])
        yield
    wanted = max(1, round(density * total)) - above
    near = torch.cat(inside)
    if 0 < wanted <= len(near):
        return _largest(near, wanted)
    return threshold(lambda: _entries(changes), density)


def _entries(changes: Sequence[Callable[[], Change]]) -> Iterable[Float[Tensor, "out in"]]:
    return (change().entries() for change in changes)


def _bracket(samples: Sequence[Change], density: float) -> tuple[float, float]:
    """Return magnitudes below and above the one that is looked for, as a sample has it."""
    found = torch.cat([sample.entries().abs().flatten() for sample in samples])
    middle, margin = density * len(found), _MARGIN * len(found) + 2
    first, last = math.floor(middle - margin), math.ceil(middle + margin)
    high = _largest(found, first) if first > 0 else math.inf
    return (_largest(found, last) if last < len(found) else 0.0), high


def _largest(numbers: Float[Tensor, " count"], place: int) -> float:
    """Return the number at a place when all are ordered from the largest on, which is 1."""
    return float(torch.kthvalue(numbers, len(numbers) - place + 1).values)
