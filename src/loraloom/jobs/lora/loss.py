"""What a job may lose where a format has no place for it, and what it then leaves out."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import final

from loraloom.adapters.adapter import Adapter
from loraloom.adapters.delta import AbstractDelta
from loraloom.adapters.span import Place
from loraloom.composing.base_weights import BaseWeights
from loraloom.composing.evaluation import base_weight, change_of, shape_at
from loraloom.composing.fit import Composition, Fit
from loraloom.composing.truncation import Truncation
from loraloom.errors import ModelError, UsageError
from loraloom.events import Warned
from loraloom.formats.excerpt import excerpt
from loraloom.formats.vectors import VECTORS, vector_of
from loraloom.jobs.lora.shared_options import LossOptions
from loraloom.jobs.lora.weights import lossy_truncation


@final
@dataclass(frozen=True, kw_only=True)
class Loss:
    """The rank that low-rank updates may have in place of others, and the sorts to leave out."""

    truncation: Truncation | None = None
    drop: tuple[str, ...] = ()

    @classmethod
    def of(cls, options: LossOptions) -> Loss:
        """Return what options say; words that cannot be read are a `UsageError`."""
        for word in options.drop:
            if word not in VECTORS:
                raise UsageError("lora.drop", word=word, known=", ".join(VECTORS))
        low = None if options.lossy is None else lossy_truncation(options.lossy)
        return cls(truncation=low, drop=tuple(dict.fromkeys(options.drop)))


def without(composition: Composition, drop: Collection[str]) -> Composition:
    """Return what is left without biases or norms, whose energy is then lost whole."""
    adapter = composition.adapter
    kept = {place: e for place, e in adapter.deltas.items() if vector_of(place) not in drop}
    if len(kept) == len(adapter.deltas):
        return composition
    if not kept:
        raise ModelError("lora.all_left_out", what=",".join(drop))
    found = {fit.place: fit for fit in composition.fits}
    lost = [
        replace(found.get(place) or _fit(place, delta), energy=0.0, error=1.0)
        for place, delta in adapter.deltas.items()
        if place not in kept
    ]
    fits = (*(fit for place, fit in found.items() if place in kept), *lost)
    facts = {**adapter.card.facts, "left_out": list(drop)}
    origin = None if adapter.origin is None else replace(adapter.origin, dialect="")
    left = replace(adapter, deltas=kept, card=replace(adapter.card, facts=facts), origin=origin)
    return Composition(adapter=left, fits=fits)


def left_out(
    composition: Composition, drop: Collection[str], base: BaseWeights | None
) -> Iterator[Warned]:
    """Yield how many biases and norms `without` leaves out, and how much of the whole that is.

    That is the norm of their changes over that of all changes. What depends on a base that is not
    given has no norm, and then there is no share.
    """
    deltas = composition.adapter.deltas
    sorts = {place: vector_of(place) for place in deltas}
    for what in drop:
        if what not in sorts.values():
            yield Warned(code="lora.none_to_leave_out", details={"what": what})
    if not set(drop).intersection(sorts.values()):
        return
    sizes = _sizes(composition, base)
    whole = math.hypot(*(size for size in sizes.values() if size is not None))
    for what in drop:
        places = [place for place, sort in sorts.items() if sort == what]
        norm = math.hypot(*(sizes[place] or 0.0 for place in places))
        details = {"what": what, "count": len(places), "norm": norm, "sites": excerpt(places)}
        if places and None in sizes.values():
            yield Warned(code="lora.left_out_of_known", details=details)
        elif places:
            details["share"] = norm / whole if whole else 0.0
            yield Warned(code="lora.left_out", details=details)


def measured(composition: Composition, asked: Adapter, base: BaseWeights | None) -> Composition:
    """Return a composition with the norms of all changes, those left out of `asked` included.

    Without a rank or an approximation nothing is measured, and none are needed.
    """
    if all(fit.norm is None for fit in composition.fits):
        return composition
    known = {fit.place for fit in composition.fits if fit.norm is not None}
    lost = [fit.place for fit in composition.fits if fit.place in asked.deltas]
    deltas = {**{place: asked.deltas[place] for place in lost}, **composition.adapter.deltas}
    adapter = replace(asked, deltas=deltas, origin=None)
    sizes = {place: _size(adapter, place, base) for place in deltas if place not in known}
    return replace(composition, norms=sizes)


def _fit(place: Place, delta: AbstractDelta) -> Fit:
    return Fit(place=place, kind=delta.kind, rank=delta.rank)


def _sizes(composition: Composition, base: BaseWeights | None) -> Mapping[Place, float | None]:
    """Return the norm of each change, None where only a base would tell."""
    known = {fit.place: fit.norm for fit in composition.fits if fit.norm is not None}
    adapter = composition.adapter
    return {
        place: known[place] if place in known else _size(adapter, place, base)
        for place in adapter.deltas
    }


def _size(adapter: Adapter, place: Place, base: BaseWeights | None) -> float | None:
    delta, name = adapter.deltas[place], adapter.card.name
    if delta.needs_weight and base is None:
        return None
    shape = shape_at(place, {name: delta}, base)
    return change_of(delta, 1.0, shape, base_weight(place, name, delta, base)).norm()
