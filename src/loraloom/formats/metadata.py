"""How much a file's header tells about the adapter, and nothing about the machine it came from."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from enum import StrEnum
from typing import Any, Final, cast

from loraloom.adapters.card import Card
from loraloom.adapters.site import PARTS
from loraloom.formats.card import card_entry
from loraloom.formats.codec import AbstractCodec
from loraloom.formats.contents import Config
from loraloom.formats.families import with_family
from loraloom.formats.outline import Outline


class Level(StrEnum):
    """How much is told."""

    NONE = "none"
    """Only what the file cannot be understood without."""
    MINIMAL = "minimal"
    """The base, the ranks and the triggers: what web UIs sort and search by."""
    FULL = "full"
    """All that the card knows: how it was trained too."""
    VERBATIM = "verbatim"
    """What the file that it was read from told, whoever wrote that."""


_MINIMAL: Final = frozenset(
    {
        "ss_v2",
        "ss_base_model_version",
        "ss_network_module",
        "ss_network_dim",
        "ss_network_alpha",
        "ss_network_args",
        "ss_output_name",
        "modelspec.sai_model_spec",
        "modelspec.architecture",
        "modelspec.implementation",
        "modelspec.title",
        "modelspec.trigger_phrase",
    }
)
"""The first six are kohya's own minimum. Source: kohya-ss/sd-scripts, SS_METADATA_MINIMUM_KEYS."""

_NETWORK: Final = "ss_network_module"
_OF_THE_SPELLING: Final = frozenset(
    {
        "format",
        "lora_adapter_metadata",
        "loraloom.deltas",
        "sshs_model_hash",
        "sshs_legacy_hash",
    }
)
"""Entries about names and bytes of one file, which mean nothing in a file of other names."""

_ROOT: Final = r"(?:[A-Za-z]:[\\/]|\\\\|/|~[\\/]|\.{1,2}[\\/])"
_WHOLE: Final = re.compile(rf"{_ROOT}[^\n]*")
_WITHIN: Final = re.compile(
    rf"(?<![\w.:/\\~]){_ROOT}(?:[^\s\\/\"'<>|,;]+[\\/])+([^\s\\/\"'<>|,;]*)"
)


def metadata_of(
    codec: AbstractCodec, outline: Outline, level: Level, verbatim: Mapping[str, str]
) -> dict[str, str]:
    """Return the metadata to write, without hashes; `verbatim` are those that were read.

    Below verbatim, no text that this program writes holds the path of a file: of each only the
    last level is left.
    """
    card = outline.card if level is Level.VERBATIM else _without_paths(outline.card)
    needed, _ = codec.header(replace(outline, card=_without_paths(card)))
    if level is Level.NONE:
        return needed
    if level is Level.MINIMAL:
        card = _reduced(card)
    described = codec.description_of(replace(outline, card=card))
    if level is Level.FULL:
        return described | _everywhere(codec, outline, card_entry(card)) | needed
    minimal = {key: text for key, text in described.items() if key in _MINIMAL}
    if level is Level.MINIMAL:
        return minimal | _everywhere(codec, outline, card_entry(card)) | needed
    kept = _plain(verbatim)
    # What another format left out, web UIs would miss.
    missing = {} if _NETWORK in kept else minimal
    return missing | _everywhere(codec, outline, with_family(outline, kept)) | needed


def configuration(codec: AbstractCodec, outline: Outline) -> Config:
    """Return the configuration to write; it holds no path either."""
    return codec.header(replace(outline, card=_without_paths(outline.card)))[1]


def without_paths(value: Any) -> Any:
    """Return JSON-like data with the last level alone of every path in its texts."""
    match value:
        case str():
            return _name(value)
        case Mapping():
            items = cast("Mapping[Any, Any]", value).items()
            return {without_paths(key): without_paths(each) for key, each in items}
        case list() | tuple():
            return [without_paths(each) for each in cast("list[Any]", value)]
        case _:
            return value


def _name(text: str) -> str:
    if _WHOLE.fullmatch(text) and not re.search(r"\s-{1,2}\w", text):
        levels = [level for level in re.split(r"[\\/]+", text) if level]
        return levels[-1] if levels else ""
    return _WITHIN.sub(lambda match: match[1], text)


def _without_paths(card: Card) -> Card:
    return replace(
        card,
        name=_name(card.name),
        base=_name(card.base),
        recipe=without_paths(card.recipe),
        facts=without_paths(card.facts),
    )


def _reduced(card: Card) -> Card:
    """Return the card with what a reader needs to use the adapter."""
    return Card(
        family=card.family,
        name=_name(card.name),
        base=_name(card.base),
        base_hash=card.base_hash,
        triggers=card.triggers,
    )


def _everywhere(
    codec: AbstractCodec, outline: Outline, entries: Mapping[str, str]
) -> dict[str, str]:
    """Return entries as they are named in each file of a folder."""
    return {
        f"{folder}{key}": text for folder in codec.folders(outline) for key, text in entries.items()
    }


def _plain(verbatim: Mapping[str, str]) -> dict[str, str]:
    """Return another file's entries that are still true of this one, as if it were one file.

    Of two networks' files that tell different things under one name both are kept.
    """
    plain: dict[str, str] = {}
    for key, text in verbatim.items():
        folder, _, name = key.partition("/")
        name = name if folder in PARTS else key
        if name not in _OF_THE_SPELLING:
            plain[name if plain.get(name, text) == text else f"{folder}.{name}"] = text
    return plain
