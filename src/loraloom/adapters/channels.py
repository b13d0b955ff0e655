"""What a change of a weight's rows or columns does to the layer: to its output or to its input."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final, Literal, cast

import torch.nn.functional as F
from jaxtyping import Float, Shaped
from torch import Tensor

from loraloom.adapters.operation import CONVOLUTIONS, Operation

ROWS: Final = 0
COLUMNS: Final = 1

_SIDES: Final[Mapping[tuple[str, int], Literal["input", "output", "choice"]]] = MappingProxyType(
    {
        ("linear", ROWS): "output",
        ("linear", COLUMNS): "input",
        ("convolution", ROWS): "output",
        ("convolution", COLUMNS): "input",
        ("embedding", ROWS): "choice",
        ("embedding", COLUMNS): "output",
    }
)


def side(operation: Operation, axis: int) -> Literal["input", "output", "choice"]:
    """Return where a weight's axis is felt; an embedding's rows are chosen by its input."""
    return _SIDES[operation.kind, axis]


def scaled(
    operation: Operation,
    axis: int,
    vector: Float[Tensor, " width"],
    x: Shaped[Tensor, "batch ..."],
    y: Float[Tensor, "batch ..."],
    weight: Float[Tensor, "out ..."],
) -> Float[Tensor, "batch ..."]:
    """Return operation.apply(x, weight with its rows or columns scaled), where y is without."""
    if side(operation, axis) == "input":
        return operation.apply(spread(operation, axis, vector, x) * x, weight)
    return spread(operation, axis, vector, x) * y


def spread(
    operation: Operation, axis: int, vector: Float[Tensor, " width"], x: Shaped[Tensor, "batch ..."]
) -> Tensor:
    """Return a number per row or column, shaped to multiply the layer's output or input."""
    match side(operation, axis):
        case "choice":
            return vector[x].unsqueeze(-1)
        case "input" if operation.groups > 1:
            vector = vector.repeat(operation.groups)
        case _:
            pass
    return vector.view(-1, *(1 for _ in range(operation.sides)))


def divided(x: Tensor, axis: int, *sizes: int) -> Tensor:
    """Return a tensor with one dimension seen as several."""
    return cast(Tensor, x.unflatten(axis, sizes))


def mixed(
    operation: Operation, matrix: Float[Tensor, "new old"], x: Float[Tensor, "batch ..."]
) -> Float[Tensor, "batch ..."]:
    """Return a layer's input or output with its channels multiplied by a matrix."""
    if operation.kind != "convolution":
        return F.linear(x, matrix)
    kernel = matrix.view(*matrix.shape, *(1 for _ in range(operation.sides)))
    return CONVOLUTIONS[operation.sides](x, kernel)
