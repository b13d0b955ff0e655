"""From a delta to the change it makes, with the base's weight where the kind needs one."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from loraloom.adapters.delta import AbstractDelta, Law
from loraloom.adapters.span import Place
from loraloom.composing.base_weights import BaseWeights
from loraloom.composing.change import Change, Dense, Shape
from loraloom.composing.products import product_of
from loraloom.errors import ModelError


def shape_at(
    place: Place, deltas: Mapping[str, AbstractDelta], base: BaseWeights | None
) -> Shape | None:
    """Return the shape of the weight at a place that deltas, by adapter name, all fit.

    It is the base's if that is given and has the place, else the most detailed of their claims.
    It is None where only the base would know the rest of a claim. Deltas for different weights are
    a `ModelError` that names two adapters.
    """
    owner = max(deltas, key=lambda name: len(deltas[name].claimed_shape))
    claim = deltas[owner].claimed_shape
    shape = tuple(size for size in claim if size is not None)
    if base is not None and all(site in base.shapes for site in place.sites):
        shape, owner = base.shape(place), "the base"
    elif len(shape) < len(claim):
        return None
    for name, delta in deltas.items():
        if not delta.fits(shape):
            raise ModelError(
                "composing.shapes",
                site=place,
                first=_called(owner),
                expected=shape,
                second=_called(name),
                found=delta.claimed_shape,
            )
    return shape


def base_weight(
    place: Place, adapter: str, delta: AbstractDelta, base: BaseWeights | None
) -> Tensor | None:
    """Return the weight that a delta must see, at least float32; None for kinds that need none.

    A base that is not given, or that lacks the site, is a `ModelError`.
    """
    if not delta.needs_weight:
        return None
    if base is None:
        raise _needs_base(place, adapter, delta)
    for site in place.sites:
        if site not in base.shapes:
            raise ModelError("composing.not_in_base", adapter=_called(adapter), site=site)
    weight = base.weight(place)
    return weight.to(torch.promote_types(weight.dtype, torch.float32))


def change_of(
    delta: AbstractDelta,
    strength: float,
    shape: Shape | None,
    weight: Tensor | None,
    law: Law = "linear",
) -> Change:
    """Return the whole change that a delta makes at a strength to a weight of `shape`.

    `shape` may be None only for kinds that need the weight, which then tells it.
    """
    product = None if shape is None else product_of(delta, shape)
    if product is not None:
        return product.times(strength)
    change = delta.lawful(weight, strength, law).detach()
    return Dense(change.reshape(len(change), -1), shape or tuple(change.shape))


def _needs_base(place: Place, adapter: str, delta: AbstractDelta) -> ModelError:
    details = {"adapter": _called(adapter), "site": place, "kind": delta.kind}
    return ModelError("composing.needs_base", **details)


def _called(name: str) -> str:
    return name or "the adapter"
