"""How a tensor of a file is turned into a part of a delta, and back.

Most are parts as they stand. The rest need their numbers in another order or shape, which a codec
names here and `coding` does: a codec never touches a tensor.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Final, TypeAlias, final

Shape: TypeAlias = tuple[int, ...]
Settings: TypeAlias = Mapping[str, bool | int | float | str]

_NOTHING: Final[Settings] = MappingProxyType({})


@final
@dataclass(frozen=True, kw_only=True)
class Rearrangement:
    """One way, with its inverse.

    `shape` gives the part's shape from the file's, None if the file's cannot be right. `read`
    makes the part, `write` the file's tensor of a given shape again: bit for bit where `is_exact`,
    else nearly, so that whoever must write a file as it was keeps the tensor. `settings` is what
    the file's shape tells about the delta besides.
    """

    shape: Callable[[Shape], Shape | None]
    read: Callable[[Any], Any]
    write: Callable[[Any, Shape], Any]
    is_exact: bool = True
    settings: Callable[[Shape], Settings] = lambda shape: _NOTHING


def _vector(shape: Shape) -> Shape | None:
    """Return the shape without its dimensions of 1, if one other is left at most."""
    count = math.prod(shape)
    return (count,) if count in (*shape, 1) else None


def _axis(shape: Shape) -> Settings:
    """Return the axis that a magnitude of LyCORIS's shape lies along: (out, 1) or (1, in)."""
    is_input = len(shape) > 1 and shape[0] == 1 < math.prod(shape)
    return {"axis": "input" if is_input else "output"}


def _side(count: int) -> int | None:
    """Return the side of the square whose upper triangle, without diagonal, has so many numbers."""
    side = (1 + math.isqrt(1 + 8 * count)) // 2
    return side if side * (side - 1) // 2 == count else None


def _blocks_shape(shape: Shape) -> Shape | None:
    side = _side(shape[1]) if len(shape) == 2 else None
    return None if side is None else (shape[0], side, side)


def _triangle(side: int) -> tuple[list[int], list[int]]:
    """Return rows and columns of the upper triangle, row by row."""
    places = [(row, column) for row in range(side) for column in range(row + 1, side)]
    return [row for row, _ in places], [column for _, column in places]


def _unpacked(packed: Any) -> Any:
    _, side, _ = _blocks_shape(tuple(packed.shape)) or (0, 0, 0)
    blocks = packed.new_zeros(packed.shape[0], side, side)
    rows, columns = _triangle(side)
    blocks[:, rows, columns] = packed
    return blocks


def _packed(blocks: Any, shape: Shape) -> Any:
    """Return the upper triangle of X - X^T, which is all that a rotation depends on."""
    rows, columns = _triangle(blocks.shape[-1])
    return (blocks - blocks.transpose(-1, -2))[:, rows, columns]


AS_IS: Final = "as it is"
MAGNITUDE: Final = "magnitude"
OUTPUT_MAGNITUDE: Final = "magnitude of the outputs"
INPUT_MAGNITUDE: Final = "magnitude of the inputs"
TRANSPOSED: Final = "transposed"
TRIANGLE: Final = "triangle"
OFFSET: Final = "offset"
ROW: Final = "row"

REARRANGEMENTS: Final[Mapping[str, Rearrangement]] = MappingProxyType(
    {
        AS_IS: Rearrangement(
            shape=lambda shape: shape,
            read=lambda tensor: tensor,
            write=lambda part, shape: part,
        ),
        # LyCORIS: (out, 1) or (1, in), with a 1 more for every side of a kernel.
        MAGNITUDE: Rearrangement(
            shape=_vector,
            read=lambda tensor: tensor.reshape(-1),
            write=lambda part, shape: part.reshape(shape),
            settings=_axis,
        ),
        # PEFT: (out,), and (1, out, 1, 1) for a convolution; ai-toolkit: (out,).
        OUTPUT_MAGNITUDE: Rearrangement(
            shape=_vector,
            read=lambda tensor: tensor.reshape(-1),
            write=lambda part, shape: part.reshape(shape),
            settings=lambda shape: {"axis": "output"},
        ),
        # PEFT, where a layer keeps its weight the other way round.
        INPUT_MAGNITUDE: Rearrangement(
            shape=_vector,
            read=lambda tensor: tensor.reshape(-1),
            write=lambda part, shape: part.reshape(shape),
            settings=lambda shape: {"axis": "input"},
        ),
        # cloneofsimo keeps an embedding of one token without its dimension of 1.
        ROW: Rearrangement(
            shape=lambda shape: (1, *shape) if len(shape) == 1 else None,
            read=lambda tensor: tensor.reshape(1, -1),
            write=lambda part, shape: part.reshape(-1),
        ),
        # PEFT's factors of an embedding are those of its transposed weight.
        TRANSPOSED: Rearrangement(
            shape=lambda shape: shape[::-1] if len(shape) == 2 else None,
            read=lambda tensor: tensor.T,
            write=lambda part, shape: part.T,
        ),
        # PEFT keeps the upper triangle of the skew-symmetric matrices, LyCORIS whole matrices X of
        # which it takes X - X^T.
        TRIANGLE: Rearrangement(shape=_blocks_shape, read=_unpacked, write=_packed),
        # PEFT multiplies by a number that starts at 1, LyCORIS by 1 plus one that starts at 0.
        OFFSET: Rearrangement(
            shape=lambda shape: shape if _vector(shape) else None,
            read=lambda tensor: tensor - 1,
            write=lambda part, shape: (part + 1).reshape(shape),
            is_exact=False,
        ),
    }
)
