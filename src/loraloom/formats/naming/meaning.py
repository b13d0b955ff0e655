"""What a name in somebody else's spelling means in ours."""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import Enum
from typing import final

from loraloom.adapters.site import Site


class Rows(Enum):
    """How the rows of a fused weight are shared out among the weights stacked in it."""

    EQUALLY = "equally"
    SQUARES_FIRST = "squares first"
    """All but the last have as many rows as the weight has columns; the last has the rest."""

    def counts(self, pieces: int, rows: int, columns: int) -> tuple[int, ...] | None:
        """Return each piece's number of rows; None if `rows` cannot be shared out so.

        A bias has as many rows as its weight, and takes the number of columns from it.
        """
        share = rows // pieces if self is Rows.EQUALLY else columns
        counts = (*(share for _ in range(pieces - 1)), rows - share * (pieces - 1))
        even = self is Rows.SQUARES_FIRST or counts[-1] == share
        return counts if even and min(counts) > 0 else None


class Halves(Enum):
    """Whether the first half of the rows and the second have changed places.

    Where Stability AI and Black Forest Labs compute shift and scale of a last modulation, in this
    order, diffusers computes scale and shift. All other modulations have the same order in both.
    """

    KEPT = "kept"
    SWAPPED = "swapped"
    SWAPPED_IF_TWO = "swapped if two"
    """Swapped where the weight has twice as many rows as columns: only a scale and a shift."""

    def swaps(self, rows: int, columns: int) -> bool:
        """Whether a weight of this size is swapped; a bias is as its weight is."""
        return self is Halves.SWAPPED or (self is Halves.SWAPPED_IF_TWO and rows == 2 * columns)


@final
@dataclass(frozen=True, kw_only=True)
class Meaning:
    """The weights that a name stands for: one, or several stacked by rows in this order.

    `halves` concerns the rows, each half as a whole; swapping is its own inverse. A `transposed`
    weight has rows for columns.
    """

    sites: tuple[Site, ...]
    rows: Rows = Rows.EQUALLY
    halves: Halves = Halves.KEPT
    transposed: bool = False

    @property
    def site(self) -> Site | None:
        """The one weight that is meant; None if several are."""
        return self.sites[0] if len(self.sites) == 1 else None

    @property
    def is_plain(self) -> bool:
        """Whether one weight is meant, as it stands."""
        return len(self.sites) == 1 and self.halves is Halves.KEPT and not self.transposed

    def of(self, parameter: str) -> Meaning:
        """Return what is meant by another parameter of the same module, as `bias`."""
        return replace(
            self, sites=tuple(Site(site.part, f"{site.module}.{parameter}") for site in self.sites)
        )


@final
@dataclass(frozen=True)
class Holder:
    """The name that holds a weight, and all that it means: perhaps more than that weight."""

    name: str
    meaning: Meaning
