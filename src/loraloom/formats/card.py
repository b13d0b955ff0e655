"""The card in a file's header: ours as JSON under one key, else what kohya's keys tell."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Final

from pydantic import TypeAdapter, ValidationError

from loraloom.adapters.card import Card
from loraloom.errors import ModelError
from loraloom.formats.contents import Contents
from loraloom.formats.excerpt import shown
from loraloom.formats.kohya_header import foreign_card

KEY: Final = "loraloom"

_CARD: Final = TypeAdapter(Card)
_OBJECT: Final = TypeAdapter(dict[str, Any])


def card_entry(card: Card) -> dict[str, str]:
    """Return the metadata entry that holds a card."""
    return {KEY: _CARD.dump_json(card).decode()}


def read_card(contents: Contents, family: str) -> Card:
    """Return the card of a file; `family` is what its names say, for headers that do not tell.

    Fields of ours that only a later version knows end among the facts.
    """
    metadata = contents.metadata
    # In a folder of several files the entry's name begins with its subfolder.
    entry = next((text for key, text in metadata.items() if key.rpartition("/")[2] == KEY), None)
    if entry is None:
        return foreign_card(metadata, family)
    try:
        content = _OBJECT.validate_json(entry)
        stated = {"family": contents.family} if contents.family else {}
        card = _CARD.validate_python({"family": family, **content, **stated})
    except ValidationError as error:
        reason = "; ".join(
            f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors()[:3]
        )
        raise ModelError("format.card", where=contents.where, reason=shown(reason)) from error
    later = {name: value for name, value in content.items() if not hasattr(card, name)}
    return card if not later else replace(card, facts={**later, **card.facts})
