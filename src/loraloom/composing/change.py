"""The change of one weight as a matrix, kept as a product of two thin ones where it is one.

All sizes are of the weight as a matrix: its first dimension by all others in one. A product's
arithmetic is float64 throughout, which is cheap there and lets even the difference of two nearly
equal changes come out right.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self, TypeAlias, final

import torch
from jaxtyping import Float
from torch import Tensor

from loraloom.composing.factorization import norm, qr, svd, triangle

Shape: TypeAlias = tuple[int, ...]


@final
@dataclass(frozen=True)
class Product:
    """left @ right, in float64; the weight is of `shape`."""

    left: Float[Tensor, "out rank"]
    right: Float[Tensor, "rank in"]
    shape: Shape

    @property
    def sides(self) -> tuple[int, int]:
        """The size of the matrix."""
        return self.left.shape[0], self.right.shape[1]

    def times(self, factor: float) -> Self:
        """Return the change at another strength."""
        return type(self)(self.left * factor, self.right, self.shape)

    def part(self, rows: slice) -> Self:
        """Return the change of some of the rows."""
        left = self.left[rows]
        return type(self)(left, self.right, (left.shape[0], *self.shape[1:]))

    def norm(self) -> float:
        """Return the Frobenius norm."""
        return norm(triangle(self.left) @ triangle(self.right.mT).mT)

    def matrix(self, dtype: torch.dtype = torch.float32) -> Float[Tensor, "out in"]:
        """Return the whole matrix, rounded once."""
        return (self.left @ self.right).to(dtype)

    def entries(self) -> Float[Tensor, "out in"]:
        """Return the whole matrix as float32 multiplies it: its own, and always the same."""
        return self.left.float() @ self.right.float()

    def add_to(self, sums: Float[Tensor, "out in"]) -> None:
        """Add the matrix to another in place, in that one's number type."""
        sums.addmm_(self.left.to(sums.dtype), self.right.to(sums.dtype))

    def svd(
        self,
    ) -> tuple[Float[Tensor, "out rank"], Float[Tensor, " rank"], Float[Tensor, "rank in"]]:
        """Return the singular value decomposition, no larger than the product's own rank.

        With left = Q R and the transpose of right = P T it is that of the small matrix R T', turned
        by Q and P.
        """
        q, r = qr(self.left)
        p, t = qr(self.right.mT)
        u, values, vh = svd(r @ t.mT)
        return q @ u, values, vh @ p.mT


@final
@dataclass(frozen=True)
class Dense:
    """A change that is not known to be a product of thin matrices; the weight is of `shape`."""

    values: Float[Tensor, "out in"]
    shape: Shape

    @property
    def sides(self) -> tuple[int, int]:
        """The size of the matrix."""
        return self.values.shape[0], self.values.shape[1]

    def times(self, factor: float) -> Self:
        """Return the change at another strength."""
        return self if factor == 1 else type(self)(self.values * factor, self.shape)

    def part(self, rows: slice) -> Self:
        """Return the change of some of the rows."""
        values = self.values[rows]
        return type(self)(values, (values.shape[0], *self.shape[1:]))

    def norm(self) -> float:
        """Return the Frobenius norm."""
        return norm(self.values)

    def matrix(self, dtype: torch.dtype = torch.float32) -> Float[Tensor, "out in"]:
        """Return the whole matrix."""
        return self.values.to(dtype)

    def entries(self) -> Float[Tensor, "out in"]:
        """Return the whole matrix in float32."""
        return self.values.float()

    def add_to(self, sums: Float[Tensor, "out in"]) -> None:
        """Add the matrix to another in place, in that one's number type."""
        sums.add_(self.values)


Change: TypeAlias = Product | Dense


def total(changes: Sequence[Change]) -> Change:
    """Return the sum: a product if all are. Its shape is the most detailed of theirs."""
    shape = max((change.shape for change in changes), key=len)
    products = [change for change in changes if isinstance(change, Product)]
    if len(products) == len(changes):
        left = torch.cat([product.left for product in products], dim=1)
        right = torch.cat([product.right for product in products], dim=0)
        return Product(left, right, shape)
    dense = (change.values.dtype for change in changes if isinstance(change, Dense))
    dtype = torch.float64 if torch.float64 in dense else torch.float32
    values = changes[0].matrix(dtype)
    for change in changes[1:]:
        values = values + change.matrix(dtype)
    return Dense(values, shape)


def inner(one: Change, other: Change) -> float:
    """Return the sum of the products of their entries; of two products without forming either."""
    match one, other:
        case Product(), Product():
            return float(((one.left.mT @ other.left) * (one.right @ other.right.mT)).sum())
        case Product(), Dense():
            half = one.left.mT @ other.matrix(torch.float64)
            return float((half * one.right).sum())
        case Dense(), Product():
            return inner(other, one)
        case Dense(), Dense():
            return float((one.values * other.values).sum(dtype=torch.float64))
