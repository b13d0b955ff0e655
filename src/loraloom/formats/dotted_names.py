"""Dotted names of modules in a model's authors' spelling, with one more that OneTrainer has."""

from __future__ import annotations

import re
from typing import Final

from loraloom.formats.naming.meaning import Meaning
from loraloom.formats.naming.names import Names
from loraloom.formats.naming.renaming import Renaming, Spelling
from loraloom.formats.naming.table import FAMILIES

_PIECE: Final = re.compile(r"(?P<whole>.+)\.(?P<index>[0-9])")


def is_authors(part: str, module: str) -> bool:
    """Whether a name is one that some model's authors gave a module of that network, not ours."""
    match = _PIECE.fullmatch(module)
    spellings = (module,) if match is None else (module, match["whole"])
    for network in (n for family in FAMILIES.values() for n in family.networks if n.part == part):
        if network.canonical(module) is not None:
            return False
        if network.native is not None and any(_has(network.native, name) for name in spellings):
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


def _has(names: Renaming, module: str) -> bool:
    """Whether a module is among the authors' names, however blocks are counted."""
    if names.meaning(module, Spelling.MODULE) is not None:
        return True
    return bool(names.shown_by_names([module], Spelling.MODULE, "").found)
