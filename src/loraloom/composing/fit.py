"""What a tool made of one weight's change, and how near it came to what was asked for."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TypeAlias, final

from torch import Tensor

from loraloom.adapters.adapter import Adapter
from loraloom.adapters.card import Card
from loraloom.adapters.delta import AbstractDelta
from loraloom.adapters.span import Place


@final
@dataclass(frozen=True, kw_only=True)
class Fit:
    """How the delta that was made at one place compares with the change it is to represent.

    `norm` is that change's Frobenius norm, None where nothing asked for it. `error` is the norm of
    what the delta differs by, relative to it, and `energy` the share of its square that the delta
    accounts for: 1 - error², or 0 where the error is above 1; both short of float32's rounding.
    `rank` is the delta's, None for kinds without one. `strength` says how much of the plain
    weighted sum a merge holds: their inner product over the sum's square; None where the sum is
    zero. `is_zero` says that nothing is left of a change that was not zero.
    """

    place: Place
    kind: str
    rank: int | None
    norm: float | None = None
    energy: float = 1.0
    error: float = 0.0
    strength: float | None = 1.0
    is_zero: bool = False


Made: TypeAlias = tuple[AbstractDelta, Fit]
"""What a tool yields, weight by weight."""


@final
@dataclass(frozen=True, kw_only=True)
class Composition:
    """An adapter that a tool made, and its fit at every place.

    `norms` are those of changes whose fit has none, where somebody asked for them; None where only
    a base would tell.
    """

    adapter: Adapter
    fits: tuple[Fit, ...]
    norms: Mapping[Place, float | None] = field(default_factory=dict[Place, float | None])

    @classmethod
    def of(
        cls,
        made: Iterable[Made],
        card: Card,
        embeddings: Mapping[str, Mapping[str, Tensor]] = MappingProxyType({}),
    ) -> Composition:
        """Collect what a tool yields."""
        deltas: dict[Place, AbstractDelta] = {}
        fits: list[Fit] = []
        for delta, fit in made:
            deltas[fit.place] = delta
            fits.append(fit)
        adapter = Adapter(deltas=deltas, card=card, embeddings=embeddings)
        return cls(adapter=adapter, fits=tuple(fits))

    @property
    def error(self) -> float:
        """The relative Frobenius error of all changes together, as far as norms are known.

        A change without a fit is as it was asked for.
        """
        errors = {fit.place: fit.error for fit in self.fits}
        norms = {**self.norms, **{fit.place: fit.norm for fit in self.fits if fit.norm is not None}}
        known = [
            (norm, errors.get(place, 0.0)) for place, norm in norms.items() if norm is not None
        ]
        whole = math.hypot(*(norm for norm, _ in known))
        return math.hypot(*(norm * error for norm, error in known)) / whole if whole else 0.0

    @property
    def is_measured(self) -> bool:
        """Whether `error` covers every change, none of which only a base would tell."""
        return None not in self.norms.values()

    @property
    def energy(self) -> float:
        """The share of the squares of all changes together that is kept."""
        return max(0.0, 1 - self.error**2)
