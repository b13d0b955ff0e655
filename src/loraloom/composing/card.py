"""What a composed adapter tells about itself: no more than is true of all it was made of."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from torch import Tensor

from loraloom.adapters.adapter import Adapter
from loraloom.adapters.card import Card
from loraloom.errors import ModelError
from loraloom.formats.coding import outline_of
from loraloom.formats.families import possible_families


def merged_card(
    adapters: Mapping[str, Adapter], made_from: Mapping[str, Any], name: str = ""
) -> Card:
    """Return the card of adapters put together.

    The base and its hash stay only if all agree on them, the triggers are those of all, and a
    training recipe fits none of it any more. The facts say how it was made (`made_from`), and what
    each adapter's card said of its base and triggers. Adapters for different families are a
    `ModelError`.
    """
    cards = {each: adapter.card for each, adapter in adapters.items()}
    if not have_a_family(adapters.values()):
        families = {each: families_for(adapter) for each, adapter in adapters.items()}
        told = ", ".join(f"{each}: {' / '.join(names)}" for each, names in families.items())
        raise ModelError("composing.families", families=told)
    sources = [
        {
            "name": each,
            "base": card.base,
            "base_hash": card.base_hash,
            "triggers": list(card.triggers),
        }
        for each, card in cards.items()
    ]
    return Card(
        family=next((card.family for card in cards.values() if card.family), ""),
        name=name,
        base=_agreed(card.base for card in cards.values()),
        base_hash=_agreed(card.base_hash for card in cards.values()),
        triggers=tuple(dict.fromkeys(word for card in cards.values() for word in card.triggers)),
        facts={"made_from": dict(made_from), "sources": sources},
    )


def families_for(adapter: Adapter) -> tuple[str, ...]:
    """Return the model families that an adapter can be for; empty if it tells nothing of them."""
    if adapter.card.family:
        return (adapter.card.family,)
    return possible_families(outline_of(adapter).layers)


def have_a_family(adapters: Iterable[Adapter]) -> bool:
    """Whether some model family can be that of all adapters that tell of one."""
    possible = [set(names) for names in map(families_for, adapters) if names]
    return not possible or bool(possible[0].intersection(*possible[1:]))


def merged_embeddings(adapters: Mapping[str, Adapter]) -> dict[str, Mapping[str, Tensor]]:
    """Return the token embeddings of all adapters.

    A token that two adapters teach differently is a `ModelError`; the same numbers are one token.
    """
    merged: dict[str, Mapping[str, Tensor]] = {}
    owners: dict[str, str] = {}
    for name, adapter in adapters.items():
        for token, vectors in adapter.embeddings.items():
            first = merged.setdefault(token, vectors)
            owner = owners.setdefault(token, name)
            if not _same(first, vectors):
                raise ModelError("composing.embeddings", token=token, first=owner, second=name)
    return merged


def _same(one: Mapping[str, Tensor], other: Mapping[str, Tensor]) -> bool:
    return one is other or (
        one.keys() == other.keys()
        and all(
            tensor.shape == other[key].shape and bool((tensor == other[key]).all())
            for key, tensor in one.items()
        )
    )


def _agreed(values: Iterable[str]) -> str:
    """Return the one value that all have, or nothing."""
    distinct = set(values)
    return distinct.pop() if len(distinct) == 1 else ""
