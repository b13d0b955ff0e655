"""An update of weights stacked along their rows, cut into one for each, and put together again.

FLUX's `qkv` is one weight in some files and three in others. Where a kind treats every row by
itself, its update of the whole is exactly one update of each part.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final, TypeAlias, final

import torch
from torch import Tensor

from loraloom.adapters.decomposed import AbstractDecomposed
from loraloom.adapters.delta import AbstractDelta, wide
from loraloom.adapters.loha import Loha
from loraloom.adapters.lora import Lora
from loraloom.errors import ModelError

Parts: TypeAlias = Mapping[str, Tensor]


def split_rows(delta: AbstractDelta, counts: Sequence[int]) -> list[AbstractDelta] | None:
    """Return the update of each part of a stacked weight; None if rows depend on each other.

    What all rows have in common is shared, not copied. Row counts that are not the delta's are a
    `ModelError`.
    """
    dimensions = delta.row_parts
    if dimensions is None:
        return None
    parts = delta.parts()
    for name, dimension in dimensions.items():
        if parts[name].shape[dimension] != sum(counts):
            raise ModelError(
                "adapter.rows",
                kind=delta.kind,
                counts=list(counts),
                found=parts[name].shape[dimension],
            )
    cut = {
        name: torch.split(parts[name], list(counts), dimension)
        for name, dimension in dimensions.items()
    }
    return [
        type(delta).from_parts(
            {
                name: cut[name][index].contiguous() if name in cut else tensor
                for name, tensor in parts.items()
            },
            delta.alpha,
            delta.settings,
        )
        for index in range(len(counts))
    ]


def fuse_rows(deltas: Sequence[AbstractDelta]) -> AbstractDelta | None:
    """Return one update of the weights stacked in this order; None if their kind has no way.

    Updates that have in common what `split_rows` shares become what they were cut from. Else
    LoRA and LoHa put their factors side by side, with the ranks added up and zeros where rows and
    factors of different parts meet: exact where the scales are equal, otherwise rounded once in
    float32 for the ratio of the scales.
    """
    first = deltas[0]
    same = all((d.kind, d.settings) == (first.kind, first.settings) for d in deltas)
    dimensions = [delta.row_parts for delta in deltas]
    if not same or any(each is None or each != dimensions[0] for each in dimensions):
        return None
    parts, rows = [delta.parts() for delta in deltas], dimensions[0] or {}
    if len({frozenset(each) for each in parts}) == 1 and _agree(deltas, parts, rows):
        stacked = {name: torch.cat([p[name] for p in parts], rows[name]) for name in rows}
        return type(first).from_parts({**parts[0], **stacked}, first.alpha, first.settings)
    if isinstance(first, AbstractDecomposed):
        magnitude = [each["magnitude"] for each in parts]
        inner = fuse_rows([each.inner for each in deltas if isinstance(each, AbstractDecomposed)])
        if inner is None:
            return None
        stacked = {**inner.parts(), "magnitude": torch.cat(magnitude, rows["magnitude"])}
        return type(first).from_parts(stacked, inner.alpha, first.settings)
    places = _PLACES.get(first.kind)
    return None if places is None else _side_by_side(deltas, parts, places)


def _agree(
    deltas: Sequence[AbstractDelta], parts: Sequence[Parts], rows: Mapping[str, int]
) -> bool:
    """Whether all is the same but the rows and how many there are."""
    return len({delta.alpha for delta in deltas}) == 1 and all(
        _without(tensor, rows[name]) == _without(each[name], rows[name])
        if name in rows
        else tensor.dtype == each[name].dtype and torch.equal(tensor, each[name])
        for name, tensor in parts[0].items()
        for each in parts[1:]
    )


def _without(tensor: Tensor, dimension: int) -> tuple[int, ...]:
    return (*tensor.shape[:dimension], *tensor.shape[dimension + 1 :])


@final
@dataclass(frozen=True, kw_only=True)
class _SideBySide:
    """Where the tensors of a low-rank kind go when several become one.

    The `diagonal` ones become blocks, the `stacked` ones follow each other; the ratio of the
    scales goes into the first of the diagonal.
    """

    diagonal: tuple[str, ...]
    stacked: tuple[str, ...]


_PLACES: Final[Mapping[str, _SideBySide]] = MappingProxyType(
    {
        Lora.kind: _SideBySide(diagonal=("up", "mid"), stacked=("down",)),
        Loha.kind: _SideBySide(diagonal=("w1_a", "w2_a", "t1", "t2"), stacked=("w1_b", "w2_b")),
    }
)


def _side_by_side(
    deltas: Sequence[AbstractDelta], parts: Sequence[Parts], places: _SideBySide
) -> AbstractDelta | None:
    outlines = {
        tuple(
            (name, tensor.ndim, *_inner_shape(name, tensor, places))
            for name, tensor in each.items()
        )
        for each in parts
    }
    if len(outlines) > 1:
        return None
    scales = [(delta.alpha or 0.0) / (delta.rank or 1) for delta in deltas]
    shared = next((scale for scale in scales if scale), 1.0)
    carrier = places.diagonal[0]
    tensors: dict[str, Tensor] = {}
    for name in parts[0]:
        given = [each[name] for each in parts]
        if name == carrier:
            given = [_times(each, s / shared) for each, s in zip(given, scales, strict=True)]
        tensors[name] = _stack(given) if name in places.stacked else _blocks(given)
    rank = sum(delta.rank or 0 for delta in deltas)
    return type(deltas[0]).from_parts(tensors, shared * rank, deltas[0].settings)


def _inner_shape(name: str, tensor: Tensor, places: _SideBySide) -> tuple[int, ...]:
    """Return what of a tensor's shape all of them must have."""
    return tuple(tensor.shape[1:] if name in places.stacked else tensor.shape[2:])


def _times(tensor: Tensor, ratio: float) -> Tensor:
    if ratio == 1:
        return tensor
    return tensor.to(wide(tensor)) * ratio


def _stack(tensors: Sequence[Tensor]) -> Tensor:
    dtype = _common_type(tensors)
    return torch.cat([tensor.to(dtype) for tensor in tensors])


def _blocks(tensors: Sequence[Tensor]) -> Tensor:
    """Return tensors as blocks along the diagonal of their first two dimensions."""
    out, columns = (sum(tensor.shape[axis] for tensor in tensors) for axis in (0, 1))
    whole = tensors[0].new_zeros(out, columns, *tensors[0].shape[2:], dtype=_common_type(tensors))
    row = column = 0
    for tensor in tensors:
        height, width = tensor.shape[:2]
        whole[row : row + height, column : column + width] = tensor
        row, column = row + height, column + width
    return whole


def _common_type(tensors: Sequence[Tensor]) -> torch.dtype:
    """Return the type of all tensors if they share one, else the one to compute in."""
    same = len({tensor.dtype for tensor in tensors}) == 1
    return tensors[0].dtype if same else wide(*tensors)
