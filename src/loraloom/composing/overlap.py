"""How much adapters get in each other's way, told from their factors before anything is merged."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Final, final

from jaxtyping import Float
from torch import Tensor

from loraloom.adapters.adapter import Adapter
from loraloom.adapters.span import Place
from loraloom.composing.base_weights import BaseWeights
from loraloom.composing.change import Change, Product, inner
from loraloom.composing.factorization import norm, singular_values
from loraloom.composing.terms import terms_by_place
from loraloom.composing.triggers import TriggerClash, trigger_clashes
from loraloom.errors import ModelError

_NOTHING: Final = 1e-7
"""A singular value below this share of the largest is rounding, and its direction chance."""


@final
@dataclass(frozen=True, kw_only=True)
class Overlap:
    """How two subspaces of one space lie to each other.

    `share` is the mean of the squared cosines of their principal angles: 1 if one contains the
    other, 0 if they are at right angles. `largest` is the largest cosine. `chance` is the share
    that random subspaces of these dimensions have on average.
    """

    share: float
    largest: float
    chance: float


@final
@dataclass(frozen=True, kw_only=True)
class Meeting:
    """How two adapters' changes of one weight lie to each other.

    `cosine` is that of the angle between them, as vectors of all entries: near 1 they add up, near
    0 they leave each other alone, near -1 they undo each other; None if either is zero. `norms`
    are their Frobenius norms. `outputs` and `inputs` compare what they write and what they read;
    None where a change is not known to be of low rank, or is zero.
    """

    place: Place
    adapters: tuple[str, str]
    norms: tuple[float, float]
    cosine: float | None
    outputs: Overlap | None
    inputs: Overlap | None


@final
@dataclass(frozen=True, kw_only=True)
class Pair:
    """How two adapters lie to each other over the weights that both change.

    `cosine` is that of the angle between all their changes of those weights together, by the same
    rule as for a part of them (see `cosine_of`). `norms` are those of all that each changes, also
    where the other changes nothing. `shared` counts the places that both change, `alone` those that
    one does. `outputs` and `inputs` are the mean shares of the overlaps at shared places, with the
    mean that chance would give; None where there is none.
    """

    adapters: tuple[str, str]
    norms: tuple[float, float]
    cosine: float | None
    shared: int
    alone: tuple[int, int]
    outputs: tuple[float, float] | None
    inputs: tuple[float, float] | None


@final
@dataclass(frozen=True, kw_only=True)
class Interference:
    """All pairs of adapters, all their meetings, and triggers that clash."""

    pairs: tuple[Pair, ...]
    meetings: tuple[Meeting, ...]
    triggers: tuple[TriggerClash, ...]


def interference(adapters: Mapping[str, Adapter], base: BaseWeights | None = None) -> Interference:
    """Return how adapters, each at strength 1, lie to each other.

    For LoRAs no matrix of a weight's size is formed. Kinds whose change depends on the base's
    weight need `base`.
    """
    meetings: list[Meeting] = []
    norms: dict[str, dict[Place, float]] = {name: {} for name in adapters}
    for place, changes in _changes(adapters, base):
        views = {name: _View.of(place, change) for name, change in changes.items()}
        for name, view in views.items():
            norms[name][place] = view.norm
        meetings += (_meeting(place, names, views) for names in combinations(views, 2))
    pairs = tuple(_pair(names, norms, meetings) for names in combinations(adapters, 2))
    triggers = {name: adapter.card.triggers for name, adapter in adapters.items()}
    return Interference(pairs=pairs, meetings=tuple(meetings), triggers=trigger_clashes(triggers))


def _changes(
    adapters: Mapping[str, Adapter], base: BaseWeights | None
) -> Iterator[tuple[Place, dict[str, Change]]]:
    """Yield each place with its changes, in the order in which the adapters were given."""
    for place, terms in terms_by_place(adapters, dict.fromkeys(adapters, 1.0), base=base).items():
        found = {term.adapter: term for term in terms}
        yield place, {name: found[name].change() for name in adapters if name in found}


@final
@dataclass(frozen=True)
class _View:
    """A change with what every pair asks of it: its norm, and bases of what it writes and reads."""

    change: Change
    norm: float
    outputs: Float[Tensor, "out rank"] | None
    inputs: Float[Tensor, "in rank"] | None

    @classmethod
    def of(cls, place: Place, change: Change) -> _View:
        if not math.isfinite(change.norm()):
            raise ModelError("adapter.not_finite", site=place)
        if not isinstance(change, Product):
            return cls(change, change.norm(), None, None)
        left, values, right = change.svd()
        kept = int((values > _NOTHING * values[0]).sum())
        size = norm(values)
        if kept == 0:
            return cls(change, size, None, None)
        return cls(change, size, left[:, :kept], right[:kept].mT)


def _meeting(place: Place, names: tuple[str, str], views: Mapping[str, _View]) -> Meeting:
    one, other = (views[name] for name in names)
    both = one.norm * other.norm
    return Meeting(
        place=place,
        adapters=names,
        norms=(one.norm, other.norm),
        cosine=inner(one.change, other.change) / both if both else None,
        outputs=_overlap(one.outputs, other.outputs),
        inputs=_overlap(one.inputs, other.inputs),
    )


def _overlap(
    one: Float[Tensor, "size rank1"] | None, other: Float[Tensor, "size rank2"] | None
) -> Overlap | None:
    """Compare two subspaces, each given by an orthonormal basis in columns."""
    if one is None or other is None:
        return None
    cosines = singular_values(one.mT @ other).clamp_max(1.0)
    return Overlap(
        share=float(cosines.square().mean()),
        largest=float(cosines[0]),
        chance=max(one.shape[1], other.shape[1]) / one.shape[0],
    )


def cosine_of(meetings: Sequence[Meeting]) -> float | None:
    """Return the cosine of two adapters' changes at several weights together, as one vector each.

    Weights that only one of them changes are not among the meetings, and do not count. None where
    the changes of one are all zero.
    """
    one, other = (math.hypot(*(each.norms[side] for each in meetings)) for side in (0, 1))
    along = math.fsum((each.cosine or 0.0) * each.norms[0] * each.norms[1] for each in meetings)
    return along / (one * other) if one and other else None


def _pair(
    names: tuple[str, str],
    norms: Mapping[str, Mapping[Place, float]],
    meetings: Sequence[Meeting],
) -> Pair:
    met = [meeting for meeting in meetings if meeting.adapters == names]
    one, other = (norms[name] for name in names)
    sizes = math.hypot(*one.values()), math.hypot(*other.values())
    return Pair(
        adapters=names,
        norms=sizes,
        cosine=cosine_of(met),
        shared=len(met),
        alone=(len(one) - len(met), len(other) - len(met)),
        outputs=_mean_share([meeting.outputs for meeting in met]),
        inputs=_mean_share([meeting.inputs for meeting in met]),
    )


def _mean_share(overlaps: Sequence[Overlap | None]) -> tuple[float, float] | None:
    known = [overlap for overlap in overlaps if overlap is not None]
    if not known:
        return None
    shares = math.fsum(overlap.share for overlap in known)
    chances = math.fsum(overlap.chance for overlap in known)
    return shares / len(known), chances / len(known)
