"""Which named parts make which kind of adapter, told from shapes alone."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Final, TypeAlias, final

Shape: TypeAlias = tuple[int, ...]


@final
@dataclass(frozen=True, kw_only=True)
class Layout:
    """The parts of one kind, by the names its class gives them, and what their shapes tell.

    A name means the same in every kind that has it. `rank` and `weight` give the rank of the
    factors and the shape of the weight they update.
    """

    kind: str
    parts: frozenset[str]
    rank: Callable[[Mapping[str, Shape]], int]
    weight: Callable[[Mapping[str, Shape]], Shape]
    optional: frozenset[str] = frozenset()

    def fits(self, parts: Collection[str]) -> bool:
        """Whether these are the parts of this kind, no more and no fewer."""
        return self.parts <= set(parts) <= self.parts | self.optional


LAYOUTS: Final[tuple[Layout, ...]] = (
    Layout(
        kind="lora",
        parts=frozenset({"down", "up"}),
        rank=lambda shapes: shapes["down"][0],
        weight=lambda shapes: (shapes["up"][0], *shapes["down"][1:]),
    ),
)


def layout_of(parts: Collection[str]) -> Layout | None:
    """Return the one layout that these parts fit."""
    return next((layout for layout in LAYOUTS if layout.fits(parts)), None)
