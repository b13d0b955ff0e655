"""Several sites in a row that one fused weight covers."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TypeAlias

from loraloom.adapters.site import Site


@dataclass(frozen=True, order=True)
class Span:
    """Sites whose weights, stacked in this order along their output rows, are one weight.

    FLUX's `attn.to_q`, `to_k` and `to_v` are one `qkv` in the files of its authors: an update of
    that one weight which cannot be split by rows (a Kronecker product, a rotation) stays whole
    and is worn on the live layers together. `rows` tells how many rows each site has, None where
    that is unknown; it is no part of the span's identity. Fewer than two sites, one site twice,
    sites of several networks or as many rows as not sites are a `ValueError`.
    """

    sites: tuple[Site, ...]
    rows: tuple[int | None, ...] = field(default=(), compare=False)

    def __post_init__(self) -> None:
        if len(self.sites) < 2 or len(set(self.sites)) < len(self.sites):
            raise ValueError(f"a span needs different sites, at least two: {self}")
        if len({site.part for site in self.sites}) > 1:
            raise ValueError(f"a span lies in one network: {self}")
        if not self.rows:
            object.__setattr__(self, "rows", (None,) * len(self.sites))
        if len(self.rows) != len(self.sites):
            raise ValueError(f"{len(self.rows)} row counts for the sites of {self}")

    def __str__(self) -> str:
        return " + ".join(str(site) for site in self.sites)

    @property
    def part(self) -> str:
        """The network that all the sites are in."""
        return self.sites[0].part


Place: TypeAlias = Site | Span
"""Where one delta acts. Both kinds know their `part`, their `sites`, and are named by `str`."""
