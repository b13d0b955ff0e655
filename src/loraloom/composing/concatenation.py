"""LoRAs side by side in one: the exact sum, at the sum of their ranks."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import reduce
from typing import final

import torch
from torch import Tensor

from loraloom.adapters.lora import Lora
from loraloom.composing.products import plain_factors


@final
@dataclass(frozen=True)
class _Term:
    """One LoRA's factors, and what their product is multiplied by."""

    down: Tensor
    up: Tensor
    coefficient: float

    @property
    def rank(self) -> int:
        return self.down.shape[0]


def concatenate(terms: Sequence[tuple[float, Lora]], shape: tuple[int, ...]) -> Lora:
    """Return the sum of weighted LoRAs as one LoRA for a weight of `shape`.

    The result's alpha carries the coefficient that most of the rank shares, so those factors stay
    as they are; where another LoRA's coefficient is a power of two times that, its `up` is scaled
    by it, which loses nothing either. Any other coefficient is multiplied into `up` in float32,
    which errs by at most 2**-24 of each entry; the factors are then float32. A middle factor is
    multiplied into `down`, in float32 too.
    """
    given = [_Term(*plain_factors(lora), weight * lora.scale) for weight, lora in terms]
    shared = _shared_coefficient(given)
    ratios = [0.0 if shared == 0 else term.coefficient / shared for term in given]
    stored = [tensor for _, lora in terms for tensor in lora.parts().values()]
    dtype = reduce(torch.promote_types, (tensor.dtype for tensor in stored))
    is_exact = len(stored) == 2 * len(terms) and all(
        _is_exact(term.up.to(dtype), ratio) for term, ratio in zip(given, ratios, strict=True)
    )
    if not is_exact:
        dtype = torch.promote_types(dtype, torch.float32)
    kernel = shape[2:]
    downs = [term.down.to(dtype).reshape(term.rank, *shape[1:]) for term in given]
    ups = [
        _scaled(term.up.to(dtype), ratio).reshape(shape[0], term.rank, *(1 for _ in kernel))
        for term, ratio in zip(given, ratios, strict=True)
    ]
    rank = sum(term.rank for term in given)
    return Lora(torch.cat(downs), torch.cat(ups, dim=1), shared * rank)


def _shared_coefficient(terms: Sequence[_Term]) -> float:
    """Return the coefficient that leaves most of the rank exact, whatever the order of terms.

    Of several it is the smallest: factors that are scaled up stay clear of underflow.
    """
    candidates = {abs(term.coefficient) for term in terms} - {0.0}
    kept = {
        candidate: sum(
            term.rank for term in terms if _is_power_of_two(term.coefficient / candidate)
        )
        for candidate in candidates
    }
    untouched = {
        candidate: sum(term.rank for term in terms if abs(term.coefficient) == candidate)
        for candidate in candidates
    }
    return max(kept, key=lambda each: (kept[each], untouched[each], -each), default=0.0)


def _is_power_of_two(number: float) -> bool:
    return abs(math.frexp(number)[0]) == 0.5


def _is_exact(tensor: Tensor, ratio: float) -> bool:
    """Whether the tensor times the ratio is held without rounding, overflow or underflow."""
    if ratio == 1:
        return True
    return _is_power_of_two(ratio) and torch.equal(_scaled(tensor, ratio) / ratio, tensor)


def _scaled(tensor: Tensor, ratio: float) -> Tensor:
    return tensor if ratio == 1 else tensor * ratio
