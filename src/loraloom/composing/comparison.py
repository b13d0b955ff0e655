"""Whether two adapters do the same to every weight, and by how much they differ."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass, replace
from typing import Literal, final

from loraloom.adapters.adapter import Adapter
from loraloom.adapters.delta import AbstractDelta
from loraloom.adapters.eight_bits import is_same
from loraloom.adapters.span import Place
from loraloom.composing.base_weights import BaseWeights
from loraloom.composing.change import total
from loraloom.composing.terms import Term, terms_by_place


@final
@dataclass(frozen=True, kw_only=True)
class Difference:
    """How much two adapters differ at one place.

    `norms` are the Frobenius norms of what each does there, 0 where it does nothing, None where
    both hold the very same numbers. `error` is the norm of the difference over the larger of the
    two: 0 where both do the same, NaN where either is no number. `only` says which one has the
    place, if not both.
    """

    place: Place
    norms: tuple[float, float] | None
    error: float
    only: Literal["first", "second"] | None = None


def compare(
    first: Adapter, second: Adapter, base: BaseWeights | None = None
) -> tuple[Difference, ...]:
    """Return the difference at every place that either adapter has, by the places' names.

    Where both are products of thin matrices, so is their difference: no matrix is formed, and the
    error is right to about 1e-15. Kinds whose change depends on the base's weight need `base`,
    unless both adapters hold the same numbers.
    """
    return tuple(sorted(compare_places(first, second, base), key=lambda each: str(each.place)))


def compare_places(
    first: Adapter, second: Adapter, base: BaseWeights | None = None
) -> Iterator[Difference]:
    """Yield what `compare` collects, weight by weight."""
    twins = {
        place
        for place, delta in first.deltas.items()
        if place in second.deltas and _holds_the_same(delta, second.deltas[place])
    }
    for place in twins:
        yield Difference(place=place, norms=None, error=0.0)
    adapters = {"first": _without(first, twins), "second": _without(second, twins)}
    terms_at = terms_by_place(adapters, dict.fromkeys(adapters, 1.0), base=base)
    for place, terms in terms_at.items():
        yield _difference(place, {term.adapter: term for term in terms})


def _difference(place: Place, terms: dict[str, Term]) -> Difference:
    changes = {name: term.change() for name, term in terms.items()}
    sizes = {name: change.norm() for name, change in changes.items()}
    norms = sizes.get("first", 0.0), sizes.get("second", 0.0)
    if len(changes) == 1:
        error = 1.0 if any(norms) else 0.0
        only = "first" if "first" in changes else "second"
        return Difference(place=place, norms=norms, error=error, only=only)
    between = total([changes["first"], changes["second"].times(-1)]).norm()
    error = between / max(norms) if any(norms) else 0.0
    return Difference(place=place, norms=norms, error=error)


def _holds_the_same(one: AbstractDelta, other: AbstractDelta) -> bool:
    """Whether two deltas are made of the same numbers, and so do the same on any base."""
    if (one.kind, one.alpha, one.settings) != (other.kind, other.alpha, other.settings):
        return False
    parts, others = one.parts(), other.parts()
    return parts.keys() == others.keys() and all(
        is_same(parts[name], others[name]) for name in parts
    )


def _without(adapter: Adapter, places: Collection[Place]) -> Adapter:
    rest = {place: delta for place, delta in adapter.deltas.items() if place not in places}
    return replace(adapter, deltas=rest, origin=None)
