"""Changes with most entries at zero: which are kept, and how the rest are added up."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Final

import torch
from jaxtyping import Float
from torch import Tensor

_HIGH: Final = 1 << 16
_LOW_BITS: Final = 15
_LOW: Final = 1 << _LOW_BITS


def threshold(matrices: Callable[[], Iterable[Float[Tensor, "out in"]]], density: float) -> float:
    """Return the magnitude at or above which lies this share of all entries, exactly.

    `matrices` gives float32 tensors, one at a time and each time the same; it is called twice. The
    bits of a non-negative float32, as an integer, order as the numbers do: the first pass counts
    their upper half, the second the lower half within the bin that the answer is in. Entries of
    equal magnitude stay or go together.
    """
    counts = torch.zeros(_HIGH, dtype=torch.int64)
    for matrix in matrices():
        counts += torch.bincount(_bits(matrix) >> _LOW_BITS, minlength=_HIGH)
    wanted = max(1, round(density * int(counts.sum())))
    high, above = _bin_of(counts, wanted)
    counts = torch.zeros(_LOW, dtype=torch.int64)
    for matrix in matrices():
        bits = _bits(matrix)
        inside = bits[bits >> _LOW_BITS == high]
        counts += torch.bincount(inside & (_LOW - 1), minlength=_LOW)
    low, _ = _bin_of(counts, wanted - above)
    bits = torch.tensor([high << _LOW_BITS | low], dtype=torch.int32)
    return float(bits.view(torch.float32))


def _bits(matrix: Tensor) -> Tensor:
    return matrix.abs().contiguous().view(torch.int32).flatten()


def _bin_of(counts: Tensor, wanted: int) -> tuple[int, int]:
    """Return the bin that holds the wanted-largest number, and how many lie above that bin."""
    from_top = counts.flip(0).cumsum(0)
    place = int(torch.searchsorted(from_top, wanted))
    above = int(from_top[place - 1]) if place else 0
    return len(counts) - 1 - place, above


def trimmed(matrix: Float[Tensor, "out in"], least: float) -> Float[Tensor, "out in"]:
    """Return the matrix without its entries of magnitude below `least`."""
    return torch.where(matrix.abs() < least, 0, matrix)


def dropped(
    matrix: Float[Tensor, "out in"], density: float, generator: torch.Generator
) -> Float[Tensor, "out in"]:
    """Return the matrix with each entry kept by chance, and what is kept made up for the rest.

    An entry is kept with probability `density` and divided by it, so that the mean over draws is
    the matrix itself. Source: arXiv 2311.03099,
    whose drop rate is 1 - density.
    """
    kept = torch.rand(matrix.shape, generator=generator) < density
    return torch.where(kept, matrix / density, 0)


def summed(matrices: Sequence[Float[Tensor, "out in"]]) -> Float[Tensor, "out in"]:
    """Return the sum."""
    return sum(matrices[1:], start=matrices[0])


def elected(matrices: Sequence[Float[Tensor, "out in"]]) -> Float[Tensor, "out in"]:
    """Return, per entry, the mean of the non-zero numbers that have the sign of the sum.

    Where the sum is exactly zero no sign wins, and the result is zero. Source: arXiv 2306.01708,
    algorithm 1, steps 2 and 3. PEFT votes before its weights are applied, and lets plus win a tie.
    """
    sign = summed(matrices).sign()
    total, count = torch.zeros_like(sign), torch.zeros_like(sign)
    for matrix in matrices:
        agrees = matrix.sign() == sign
        total += matrix * agrees
        count += agrees
    # Where the sum is zero those agree that are zero too, and so does their mean.
    return total.div_(count.clamp_min_(1))
