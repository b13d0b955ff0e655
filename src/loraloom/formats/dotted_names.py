"""Dotted names of modules in a model's authors' spelling, with one more that OneTrainer has."""

from __future__ import annotations

import re
from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from loraloom.formats.naming.meaning import Meaning
from loraloom.formats.naming.names import Names
from loraloom.formats.naming.network import Network
from loraloom.formats.naming.renaming import Spelling
from loraloom.formats.naming.table import FAMILIES

PEFT_START: Final = "base_model.model."
"""What PEFT puts before every name, and some who copy its tensors into other files leave there."""
_PIECE: Final = re.compile(r"(?P<whole>.+)\.(?P<index>[0-9])")


def _networks() -> Mapping[str, tuple[Network, ...]]:
    """Return the networks by their part, one of those that families share."""
    found: dict[str, dict[tuple[int, int, str], Network]] = {}
    for network in (network for family in FAMILIES.values() for network in family.networks):
        key = id(network.grammar), id(network.native), network.root
        found.setdefault(network.part, {}).setdefault(key, network)
    return MappingProxyType({part: tuple(own.values()) for part, own in found.items()})


_NETWORKS: Final = _networks()


def is_authors(part: str, module: str) -> bool:
    """Whether a name is one that some model's authors gave a module of that network, not ours."""
    match = _PIECE.fullmatch(module)
    spellings = (module,) if match is None else (module, match["whole"])
    for network in _NETWORKS.get(part, ()):
        if network.canonical(module) is not None:
            return False
        native = network.native
        if native is not None and any(native.has(name, Spelling.MODULE) for name in spellings):
            return True
    return False


def meaning_of(names: Names, module: str) -> Meaning | None:
    """Return what a module's name means; `img_attn.qkv.1` is the second of three stacked weights.

    Source of the latter: Nerogar/OneTrainer, modules/util/convert/lora/convert_flux_lora.py.
    """
    meaning = names.meaning(module)
    if meaning is None and (match := _PIECE.fullmatch(module)):
        whole, index = names.meaning(match["whole"]), int(match["index"])
        if whole is not None and len(whole.sites) > 1 and index < len(whole.sites):
            meaning = Meaning(sites=(whole.sites[index],))
    return None if meaning is None or meaning.transposed else meaning
