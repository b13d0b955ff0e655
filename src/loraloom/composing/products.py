"""Which kinds of delta are products of two thin matrices, and which those are."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Final, TypeAlias

import torch
from torch import Tensor

from loraloom.adapters.delta import AbstractDelta
from loraloom.adapters.loha import Loha
from loraloom.adapters.lokr import Lokr
from loraloom.adapters.lora import Lora, without_middle
from loraloom.composing.change import Product, Shape

_Factors: TypeAlias = tuple[Tensor, Tensor]
"""Left (out, rank) and right (rank, in), in float64."""


def product_of(delta: AbstractDelta, shape: Shape) -> Product | None:
    """Return the change of a weight of `shape` as a product of thin matrices.

    None for kinds that are none, and where the factors would be no thinner than the matrix.
    """
    factors = _FACTORS[delta.kind](delta) if delta.kind in _FACTORS else None
    if factors is None:
        return None
    left, right = factors
    if delta.kind != Lora.kind and left.shape[1] >= min(left.shape[0], right.shape[1]):
        return None
    return Product(left, right, shape)


def plain_factors(delta: Lora) -> tuple[Tensor, Tensor]:
    """Return a LoRA's down and up without a middle factor.

    That is multiplied into down, in float64.
    """
    parts = without_middle(delta.parts())
    return parts["down"], parts["up"]


def _of_lora(delta: AbstractDelta) -> _Factors | None:
    assert isinstance(delta, Lora)
    down, up = plain_factors(delta)
    return up.double().flatten(1) * delta.scale, down.double().flatten(1)


def _of_loha(delta: AbstractDelta) -> _Factors | None:
    """Return the rank**2 products of one column, and of one row, of each of the two matrices."""
    assert isinstance(delta, Loha)
    parts = {name: part.double().flatten(1) for name, part in delta.parts().items()}
    if "t1" in parts or _is_thick(delta, len(parts["w1_b"]) * len(parts["w2_b"])):
        return None
    left = torch.einsum("oi,oj->oij", parts["w1_a"], parts["w2_a"]).flatten(1)
    right = torch.einsum("ip,jp->ijp", parts["w1_b"], parts["w2_b"]).flatten(0, 1)
    return left * delta.scale, right


def _of_lokr(delta: AbstractDelta) -> _Factors | None:
    """Return kron(w1, w2_a) and kron(1, w2_b), or kron(1, w2_a) and kron(w1, w2_b) if thinner."""
    assert isinstance(delta, Lokr)
    parts = {name: part.double() for name, part in delta.parts().items()}
    if "w2" in parts or "t2" in parts:
        return None
    w1_sides = parts["w1"].shape if "w1" in parts else (len(parts["w1_a"]), parts["w1_b"].shape[1])
    if _is_thick(delta, min(w1_sides) * len(parts["w2_b"])):
        return None
    w1 = parts["w1"] if "w1" in parts else parts["w1_a"] @ parts["w1_b"]
    w1, one = w1 * delta.scale, torch.eye(min(w1.shape), dtype=w1.dtype)
    w2_a, w2_b = parts["w2_a"].flatten(1), parts["w2_b"].flatten(1)
    # A kernel's pixels are the innermost columns on both sides.
    if w1.shape[0] < w1.shape[1]:
        return torch.kron(one, w2_a), torch.kron(w1, w2_b)
    return torch.kron(w1, w2_a), torch.kron(one, w2_b)


def _is_thick(delta: AbstractDelta, rank: int) -> bool:
    """Whether factors of this rank would be no thinner than the weight, and are not worth making.

    Their numbers grow with the square of the rank.
    """
    rows, *columns = (size or 1 for size in delta.claimed_shape)
    return rank >= min(rows, math.prod(columns))


_FACTORS: Final[Mapping[str, Callable[[AbstractDelta], _Factors | None]]] = MappingProxyType(
    {Lora.kind: _of_lora, Loha.kind: _of_loha, Lokr.kind: _of_lokr}
)
