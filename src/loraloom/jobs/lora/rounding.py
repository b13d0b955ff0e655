"""What is lost where factors are brought into a narrower number type."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import torch

from loraloom.adapters.adapter import Adapter
from loraloom.adapters.eight_bits import computable
from loraloom.adapters.span import Place
from loraloom.composing.factorization import norm
from loraloom.events import Warned
from loraloom.formats.excerpt import excerpt

_MOST: Final = 0.01
"""The share of a factor that may be lost without a word: bfloat16's own rounding loses 0.2 %."""


def rounding_of(adapter: Adapter, dtype: torch.dtype) -> Iterator[Warned]:
    """Yield a warning if a factor loses more than rounding, as numbers too small for the type do.

    The loss is the norm of the difference over the factor's own.
    """
    losses: dict[Place, float] = {}
    zeros = 0
    for place, delta in adapter.deltas.items():
        for part in delta.parts().values():
            if part.dtype == dtype:
                continue
            factor, rounded = computable(part), part.to(dtype)
            size = norm(factor)
            lost = norm(factor.double() - rounded.double()) / size if size else 0.0
            if lost > _MOST:
                losses[place] = max(lost, losses.get(place, 0.0))
                zeros += not rounded.any()
    if losses:
        worst = sorted(losses, key=lambda place: -losses[place])
        details = {"dtype": str(dtype).removeprefix("torch."), "count": len(losses)}
        details |= {"error": losses[worst[0]], "zeros": zeros, "sites": excerpt(worst)}
        yield Warned(code="lora.rounded", details=details)
