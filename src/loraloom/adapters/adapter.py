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
from loraloom.adapters.span import Place
from loraloom.events import Warned


@dataclass(frozen=True, kw_only=True)
class Origin:
    """How a file spelled an adapter, so that writing it again in its own dialect loses nothing.

    `shapes` are those of the file's tensors by name; what they are is told anew when it is needed.
    `literals` are tensors that the deltas do not give again bit for bit: alphas above all.
    `metadata` and `config` are verbatim. `warnings` are what its reader should know.
    """

    dialect: str
    metadata: Mapping[str, str]
    shapes: Mapping[str, tuple[int, ...]]
    literals: Mapping[str, Tensor] = field(default_factory=dict[str, Tensor])
    config: Mapping[str, Any] | None = None
    warnings: tuple[Warned, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Adapter:
    """Deltas by site or span, with a card. No file and no model is held.

    `embeddings` holds the token embeddings that came with the adapter (textual inversion): by the
    word that calls them, then by their tensors' names, each with one row per token. They are kept
    and written again; nothing here puts them into a tokenizer.
    """

    deltas: Mapping[Place, AbstractDelta]
    card: Card
    origin: Origin | None = None
    embeddings: Mapping[str, Mapping[str, Tensor]] = field(
        default_factory=dict[str, Mapping[str, Tensor]]
    )

    def __post_init__(self) -> None:
        object.__setattr__(self, "deltas", MappingProxyType(dict(self.deltas)))
        words = {word: MappingProxyType(dict(held)) for word, held in self.embeddings.items()}
        object.__setattr__(self, "embeddings", MappingProxyType(words))

    @property
    def named_parts(self) -> tuple[str, ...]:
        """The networks this adapter touches, in order of first appearance."""
        return tuple(dict.fromkeys(place.part for place in self.deltas))

    @property
    def sites(self) -> tuple[Site, ...]:
        """Every weight that the adapter touches, those of spans one by one."""
        return tuple(site for place in self.deltas for site in place.sites)

    @property
    def parameter_count(self) -> int:
        """How many numbers the adapter holds."""
        held = [delta.parts() for delta in self.deltas.values()]
        return sum(
            t.numel() for tensors in (*held, *self.embeddings.values()) for t in tensors.values()
        )

    def with_card(self, **changes: Any) -> Self:
        """Return the adapter with some of its card's fields changed; its origin is dropped."""
        return replace(self, card=replace(self.card, **changes), origin=None)
