"""What each adapter adds at each place, once places that overlap are cut to one size."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import final

from loraloom.adapters.adapter import Adapter
from loraloom.adapters.delta import AbstractDelta, Law
from loraloom.adapters.site import Site
from loraloom.adapters.span import Place, Span
from loraloom.composing.base_weights import BaseWeights
from loraloom.composing.change import Change, Shape
from loraloom.composing.cutting import rows_of
from loraloom.composing.evaluation import base_weight, change_of, shape_at
from loraloom.composing.rescaling import rescaled
from loraloom.composing.weights import Weight, weight_at
from loraloom.composing.widening import widened
from loraloom.errors import ModelError


@final
@dataclass(frozen=True, kw_only=True)
class Term:
    """One adapter's delta, worn at `strength` on a weight of `shape`, None if only a base knows it.

    `rows` are those that count where the delta acts on a whole span but one of its sites is meant;
    None means all of them.
    """

    adapter: str
    place: Place
    delta: AbstractDelta
    strength: float
    shape: Shape | None
    rows: slice | None = None
    law: Law = "linear"
    base: BaseWeights | None = None

    @property
    def target_shape(self) -> Shape | None:
        """The shape of what it changes: of the weight, or of the rows that count."""
        if self.rows is None or self.shape is None:
            return self.shape
        return (self.rows.stop - self.rows.start, *self.shape[1:])

    def alone(self, factor: float) -> AbstractDelta | None:
        """Return all that it adds, times a factor, as a delta of its own kind if there is one."""
        if self.delta.needs_weight and self.law != "linear" and self.strength != 1:
            return None
        return rescaled(self.delta, self.strength * factor)

    def change(self) -> Change:
        """Return the change that it makes."""
        weight = base_weight(self.place, self.adapter, self.delta, self.base)
        change = change_of(self.delta, self.strength, self.shape, weight, self.law)
        return change if self.rows is None else change.part(self.rows)


def terms_by_site(
    adapters: Mapping[str, Adapter],
    weights: Mapping[str, Weight],
    law: Law = "linear",
    base: BaseWeights | None = None,
) -> dict[Site, list[Term]]:
    """Return what there is to add up at each site, as `terms_by_place` with every span cut."""
    terms = terms_by_place(adapters, weights, law, base, cut_all=True)
    return {place: group for place, group in terms.items() if isinstance(place, Site)}


def terms_by_place(
    adapters: Mapping[str, Adapter],
    weights: Mapping[str, Weight],
    law: Law = "linear",
    base: BaseWeights | None = None,
    *,
    cut_all: bool = False,
) -> dict[Place, list[Term]]:
    """Return what there is to add up at each place; what has strength 0 is left out.

    Places and, at each, adapters are in the order of their names. A span stays whole where all
    adapters have it whole and at one strength; else it is cut into its sites, for which its row
    counts must be known: from itself, from other adapters or from the base (else `ModelError`).
    """
    worn = [
        (name, place, widened(delta))
        for name in sorted(adapters)
        for place, delta in adapters[name].deltas.items()
        if any(weight_at(weights[name], site) for site in place.sites)
    ]
    at: dict[Place, dict[str, AbstractDelta]] = {}
    for name, place, delta in worn:
        at.setdefault(place, {})[name] = delta
    shapes = {place: shape_at(place, deltas, base) for place, deltas in at.items()}
    cut = _overlapping(at) | {
        place
        for name, place, _ in worn
        if isinstance(place, Span)
        and len({weight_at(weights[name], site) for site in place.sites}) > 1
    }
    terms: dict[Place, list[Term]] = {}
    for name, place, delta in worn:
        for target, rows in _targets(place, cut_all or place in cut, shapes, base):
            strength = weight_at(weights[name], target.sites[0])
            if strength:
                term = Term(
                    adapter=name,
                    place=place,
                    delta=delta,
                    strength=strength,
                    shape=shapes[place],
                    rows=rows,
                    law=law,
                    base=base,
                )
                terms.setdefault(target, []).append(term)
    for target, group in terms.items():
        _check_sizes(target, group)
    return dict(sorted(terms.items(), key=lambda item: str(item[0])))


def _overlapping(places: Iterable[Place]) -> set[Span]:
    """Return the spans that share a site with another place."""
    owners: dict[Site, list[Place]] = {}
    for place in places:
        for site in place.sites:
            owners.setdefault(site, []).append(place)
    return {
        place
        for sharing in owners.values()
        if len(sharing) > 1
        for place in sharing
        if isinstance(place, Span)
    }


def _check_sizes(place: Place, terms: Sequence[Term]) -> None:
    """Raise ModelError if two terms at a place are of different sizes as matrices."""
    known = [(term.adapter, term.target_shape) for term in terms]
    sized = [(name, shape) for name, shape in known if shape is not None]
    for (first, expected), (second, found) in pairwise(sized):
        if (expected[0], math.prod(expected)) != (found[0], math.prod(found)):
            raise ModelError(
                "composing.shapes",
                site=place,
                first=first,
                expected=expected,
                second=second,
                found=found,
            )


def _targets(
    place: Place, is_cut: bool, shapes: Mapping[Place, Shape | None], base: BaseWeights | None
) -> list[tuple[Place, slice | None]]:
    """Return what a delta's place is cut into, with the rows of each."""
    if not is_cut or not isinstance(place, Span):
        return [(place, None)]
    return list(rows_of(place, shapes[place], base, shapes).items())
