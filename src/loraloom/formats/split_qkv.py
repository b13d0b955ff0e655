"""kohya's `split_qkv` files, given the scale that they were trained at."""

from __future__ import annotations

from dataclasses import replace

from loraloom.adapters.adapter import Adapter
from loraloom.adapters.delta import AbstractDelta
from loraloom.adapters.span import Place
from loraloom.formats.coding import BLOCK_SPARSE


def with_trained_scale(adapter: Adapter) -> Adapter:
    """Return the adapter with alpha multiplied where blocks were saved at the alpha of one.

    The trainer learns each of n stacked weights at alpha / rank, then saves all in blocks of
    n * rank under the same alpha; so every reader applies them n times too weakly. An adapter
    without such blocks is returned as it is. Source: kohya-ss/sd-scripts, issue 2204.
    """
    origin = adapter.origin
    counts: dict[Place, int] = {}
    for warned in () if origin is None else origin.warnings:
        if warned.code == BLOCK_SPARSE:
            counts |= warned.details["blocks"]
    if not counts:
        return adapter
    deltas = {
        place: _stronger(delta, counts.get(place, 1)) for place, delta in adapter.deltas.items()
    }
    return replace(adapter, deltas=deltas, origin=None)


def _stronger(delta: AbstractDelta, times: int) -> AbstractDelta:
    if times == 1 or delta.alpha is None:
        return delta
    return type(delta).from_parts(delta.parts(), delta.alpha * times, delta.settings)
