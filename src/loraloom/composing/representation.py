"""A change as a delta: low rank where it is asked for, else the full difference."""

from __future__ import annotations

import math
from dataclasses import replace

from loraloom.adapters.delta import AbstractDelta
from loraloom.adapters.full import Full
from loraloom.adapters.span import Place
from loraloom.composing.change import Change, Product, total
from loraloom.composing.decomposition import lora, nearest
from loraloom.composing.draws import stream
from loraloom.composing.evaluation import change_of
from loraloom.composing.fit import Fit, Made
from loraloom.composing.truncation import Truncation
from loraloom.errors import ModelError


def whole(change: Change) -> AbstractDelta:
    """Return the delta that makes a change exactly: a LoRA where it has fewer numbers."""
    if isinstance(change, Product):
        rows, columns = change.sides
        if change.left.shape[1] * (rows + columns) < rows * columns:
            return lora(change.left, change.right, change.shape)
    return full_difference(change)


def represented(place: Place, change: Change, truncation: Truncation | None, seed: int = 0) -> Made:
    """Return the delta that makes a change, at the rank that `truncation` says, and its fit.

    Without one it is the full difference. So it is for biases and norms, which have no rank. `seed`
    and the place decide the random sketch of a large matrix. Numbers that are not finite are a
    `ModelError`.
    """
    norm = change.norm()
    if not math.isfinite(norm):
        raise ModelError("adapter.not_finite", site=place)
    if truncation is None or len(change.shape) == 1:
        delta = full_difference(change)
        return delta, Fit(place=place, kind=delta.kind, rank=None, norm=norm)
    low = nearest(change, truncation, stream(seed, "sketch", place))
    fit = Fit(
        place=place,
        kind=low.delta.kind,
        rank=low.delta.rank,
        norm=norm,
        energy=low.energy,
        error=low.error,
    )
    return low.delta, fit


def compared(fit: Fit, asked: Change, delta: AbstractDelta) -> Fit:
    """Return a fit with the figures of a delta against the change that was asked for.

    They are measured on the delta as it is, whatever was done to come to it.
    """
    norm = asked.norm()
    made = change_of(delta, 1.0, asked.shape, None)
    is_zero = norm > 0 and made.norm() == 0
    lost = norm if is_zero else total([asked, made.times(-1.0)]).norm()
    error = lost / norm if norm else 0.0
    return replace(
        fit,
        norm=norm,
        energy=max(0.0, 1 - error**2),
        error=error,
        is_zero=is_zero,
    )


def full_difference(change: Change) -> Full:
    """Return the delta that holds a change as it is."""
    values = change.matrix().reshape(change.shape).contiguous()
    return Full(values)
