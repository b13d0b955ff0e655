"""Deltas cut into the rows of the weights that a file stacks, and put together again."""

# Tensor.split is only partly typed.
# pyright: reportUnknownVariableType=false, reportUnknownArgumentType=false

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise

import torch
from torch import Tensor

from loraloom.adapters.eight_bits import is_same

Parts = Mapping[str, Tensor]


def swapped(parts: Parts, axes: Mapping[str, int]) -> dict[str, Tensor]:
    """Return the parts with the halves along some dimensions exchanged: its own inverse."""
    return {
        name: torch.cat(tensor.chunk(2, axes[name])[::-1], axes[name]) if name in axes else tensor
        for name, tensor in parts.items()
    }


def split(parts: Parts, axes: Mapping[str, int], rows: Sequence[int]) -> list[dict[str, Tensor]]:
    """Return the parts of each weight's delta; what does not run along the rows is shared."""
    pieces = {name: parts[name].split(list(rows), axis) for name, axis in axes.items()}
    return [
        {**parts, **{name: piece[index] for name, piece in pieces.items()}}
        for index in range(len(rows))
    ]


def stacked(pieces: Sequence[Parts], axes: Mapping[str, int]) -> dict[str, Tensor] | None:
    """Return the parts of one delta for all weights: `split` undone.

    None if the parts that would have to be shared are not the same.
    """
    first = pieces[0]
    for name in first.keys() - axes.keys():
        if not all(is_same(first[name], piece[name]) for piece in pieces):
            return None
    return {
        name: torch.cat([piece[name] for piece in pieces], axes[name]) if name in axes else tensor
        for name, tensor in first.items()
    }


def blocks(downs: Sequence[Tensor], ups: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
    """Return low-rank factors that do to each weight what its own do, at the sum of their ranks."""
    rank = sum(down.shape[0] for down in downs)
    rows = sum(up.shape[0] for up in ups)
    up = ups[0].new_zeros(rows, rank, *ups[0].shape[2:])
    row = column = 0
    for own in ups:
        up[row : row + own.shape[0], column : column + own.shape[1]] = own
        row, column = row + own.shape[0], column + own.shape[1]
    return torch.cat(list(downs)), up


def unblocked(
    down: Tensor, up: Tensor, rows: Sequence[int]
) -> tuple[list[Tensor], list[Tensor]] | None:
    """Return the factors of each weight where `up` is zero outside of blocks: `blocks` undone.

    None where it is not so. Each weight has the columns in which it alone is not zero; they must
    follow each other in the weights' order, and leave none over.
    """
    count, rank = len(rows), down.shape[0]
    # Minus zero is not what `blocks` writes, and would be lost.
    filled = (up.float() != 0) | up.float().signbit()
    used = [strip.any(0) for strip in filled.flatten(1).split(list(rows))]
    if count < 2 or not all(bool(each.any()) for each in used):
        return None
    starts = [int(each.nonzero().min()) for each in used]
    ends = [int(each.nonzero().max()) + 1 for each in used]
    bounds = [rank // count * index for index in range(count + 1)]
    is_even = rank % count == 0 and all(
        bounds[i] <= starts[i] and ends[i] <= bounds[i + 1] for i in range(count)
    )
    if not is_even:
        bounds = [0, *ends]
        if starts != bounds[:-1] or bounds[-1] != rank:
            return None
    columns = list(pairwise(bounds))
    strips = up.split(list(rows))
    return (
        [down[start:end] for start, end in columns],
        [strip[:, start:end] for strip, (start, end) in zip(strips, columns, strict=True)],
    )
