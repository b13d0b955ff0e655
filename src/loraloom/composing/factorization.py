"""The factorizations of matrices used here, with their types."""

from __future__ import annotations

from typing import cast

import torch
from jaxtyping import Float
from torch import Tensor


def qr(
    matrix: Float[Tensor, "rows columns"],
) -> tuple[Float[Tensor, "rows small"], Float[Tensor, "small columns"]]:
    """Return Q with orthonormal columns and triangular R: matrix = Q @ R."""
    return cast("tuple[Tensor, Tensor]", torch.linalg.qr(matrix))


def triangle(matrix: Float[Tensor, "rows columns"]) -> Float[Tensor, "small columns"]:
    """Return R of `qr` alone."""
    return cast("tuple[Tensor, Tensor]", torch.linalg.qr(matrix, mode="r"))[1]


def svd(
    matrix: Float[Tensor, "rows columns"],
) -> tuple[Float[Tensor, "rows small"], Float[Tensor, " small"], Float[Tensor, "small columns"]]:
    """Return U, the singular values from the largest on, and Vh: matrix = U @ diag @ Vh."""
    return cast("tuple[Tensor, Tensor, Tensor]", torch.linalg.svd(matrix, full_matrices=False))


def singular_values(matrix: Float[Tensor, "rows columns"]) -> Float[Tensor, " small"]:
    """Return the singular values alone, from the largest on."""
    return cast("Tensor", torch.linalg.svdvals(matrix))


def eigenvectors(matrix: Float[Tensor, "size size"]) -> Float[Tensor, "size size"]:
    """Return the eigenvectors of a symmetric matrix in columns, by rising eigenvalue."""
    return cast("tuple[Tensor, Tensor]", torch.linalg.eigh(matrix))[1]


def norm(tensor: Float[Tensor, "*sizes"]) -> float:
    """Return the root of the sum of squares, summed in float64."""
    return float(cast("Tensor", torch.linalg.vector_norm(tensor, dtype=torch.float64)))


def row_norms(matrix: Float[Tensor, "rows columns"]) -> Float[Tensor, " rows"]:
    """Return the norm of each row."""
    return cast("Tensor", torch.linalg.vector_norm(matrix, dim=1))
