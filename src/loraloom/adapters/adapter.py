"""An adapter: plain data about named weights."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Any, Self

from torch import Tensor

from loraloom.adapters.card import Card
from loraloom.adapters.delta import AbstractDelta
from loraloom.adapters.site import Site


@dataclass(frozen=True, kw_only=True)
class Origin:
    """How a file spelled an adapter, so that writing it again in its own dialect loses nothing.

    `keys` maps each tensor name of the file to the site and part it became; `alphas` keeps the
    literal scale tensors by their keys; `metadata` and `config` are verbatim.
    """

    dialect: str
    metadata: Mapping[str, str]
    keys: Mapping[str, tuple[Site, str]]
    alphas: Mapping[str, Tensor] = field(default_factory=dict[str, Tensor])
    config: Mapping[str, Any] | None = None


@dataclass(frozen=True, kw_only=True)
class Adapter:
    """Deltas by site, with a card. No file and no model is held."""

    deltas: Mapping[Site, AbstractDelta]
    card: Card
    origin: Origin | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "deltas", MappingProxyType(dict(self.deltas)))

    @property
    def named_parts(self) -> tuple[str, ...]:
        """The networks this adapter touches, in order of first appearance."""
        return tuple(dict.fromkeys(site.part for site in self.deltas))

    @property
    def parameter_count(self) -> int:
        """How many numbers the adapter holds."""
        return sum(t.numel() for delta in self.deltas.values() for t in delta.parts().values())

    def with_card(self, **changes: Any) -> Self:
        """Return the adapter with some of its card's fields changed; its origin is dropped."""
        return replace(self, card=replace(self.card, **changes), origin=None)
