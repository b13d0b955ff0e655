"""The nearest low-rank update to a change, and how near it is."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final, final

import torch
from jaxtyping import Float
from torch import Tensor

from loraloom.adapters.lora import Lora
from loraloom.composing.change import Change, Dense, Product
from loraloom.composing.factorization import eigenvectors, norm, qr, row_norms
from loraloom.composing.truncation import Truncation

_OVERSAMPLING: Final = 10
_POWER_ITERATIONS: Final = 4
_SETTLED: Final = 1e-3
"""A power iteration that finds less more than this share of the energy found is the last."""


@final
@dataclass(frozen=True, kw_only=True)
class LowRank:
    """A low-rank update and what it keeps of the change that it stands for.

    `energy` is the share of the squared Frobenius norm, `error` the relative Frobenius error; both
    are of the truncation, before the factors are rounded to float32, which adds about 1e-7.
    """

    delta: Lora
    energy: float
    error: float


def nearest(change: Change, truncation: Truncation, generator: torch.Generator) -> LowRank:
    """Return the low-rank update of the asked rank that is nearest in the Frobenius norm.

    A product is decomposed exactly, through its factors. So is a matrix, unless its rank is fixed
    and small against its sides: then a random sketch with up to four power iterations finds the
    singular vectors (arXiv 0909.4061, algorithm 4.4), nearly optimally; it ends when another
    iteration would add less than 1e-3 of the energy. What is reported is measured, not assumed.
    `generator` draws the sketch.
    """
    left, values, right, lost = _decompose(change, truncation, generator)
    rank = truncation.rank(values)
    # Summed from the smallest on, so that hardly anything lost is not lost in rounding itself.
    squares = values.square().flip(0).cumsum(0).flip(0)
    whole = float(squares[0]) + lost
    rest = lost + (float(squares[rank]) if rank < len(values) else 0.0)
    share = rest / whole if whole > 0 else 0.0
    # Half of each singular value to either side keeps both factors in the range of fp16.
    roots = values[:rank].sqrt()
    delta = lora(left[:, :rank] * roots, roots[:, None] * right[:rank], change.shape)
    return LowRank(delta=delta, energy=1 - share, error=math.sqrt(share))


def lora(left: Tensor, right: Tensor, shape: tuple[int, ...]) -> Lora:
    """Return factors as a LoRA of scale 1, which even readers that lose alpha get right."""
    rank = left.shape[1]
    up = left.float().reshape(shape[0], rank, *(1 for _ in shape[2:]))
    down = right.float().reshape(rank, *shape[1:])
    return Lora(down.contiguous(), up.contiguous(), float(rank))


def _decompose(
    change: Change, truncation: Truncation, generator: torch.Generator
) -> tuple[
    Float[Tensor, "out values"], Float[Tensor, " values"], Float[Tensor, "values in"], float
]:
    """Return singular vectors and values, and the squared norm of what they leave out."""
    match change:
        case Product():
            return *change.svd(), 0.0
        case Dense():
            size = (truncation.fixed or max(change.sides)) + _OVERSAMPLING
            if 4 * size <= min(change.sides):
                return _sketched(change, size, generator)
            return *_exact(change.matrix(torch.float64)), 0.0


def _exact(
    matrix: Float[Tensor, "out in"],
) -> tuple[Float[Tensor, "out values"], Float[Tensor, " values"], Float[Tensor, "values in"]]:
    """Return the decomposition through the eigenvectors of the smaller Gram matrix.

    Singular values below 1e-8 of the largest drown, which float32 entries cannot hold anyway; it
    takes a fraction of the time of a singular value decomposition.
    """
    if matrix.shape[0] > matrix.shape[1]:
        left, values, right = _exact(matrix.mT)
        return right.mT, values, left.mT
    basis = eigenvectors(matrix @ matrix.mT).flip(1)
    rows = basis.mT @ matrix
    values = row_norms(rows)
    order = values.argsort(descending=True, stable=True)
    values, rows = values[order], rows[order]
    return basis[:, order], values, rows / values.clamp_min(torch.finfo(values.dtype).tiny)[:, None]


def _sketched(
    change: Dense, size: int, generator: torch.Generator
) -> tuple[
    Float[Tensor, "out values"], Float[Tensor, " values"], Float[Tensor, "values in"], float
]:
    matrix = change.values
    draw = torch.randn(matrix.shape[1], size, generator=generator).to(matrix.dtype)
    basis = qr(matrix @ draw)[0]
    before = 0.0
    for _ in range(_POWER_ITERATIONS):
        turned = matrix.mT @ basis
        found = norm(turned) ** 2
        if found - before <= _SETTLED * found:
            break
        before, basis = found, qr(matrix @ qr(turned)[0])[0]
    rows = basis.mT @ matrix
    left, values, right = Product(basis.double(), rows.double(), change.shape).svd()
    # Looked at itself: as the difference of two squares it would drown in their rounding.
    return left, values, right, norm(torch.addmm(matrix, basis, rows, alpha=-1)) ** 2
