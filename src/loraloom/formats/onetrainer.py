"""OneTrainer's own dotted names: `lora_unet.down_blocks.…`, or `unet.input_blocks.…`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from types import MappingProxyType
from typing import ClassVar, Final, final

from loraloom.adapters.site import Site
from loraloom.adapters.span import Place, Span
from loraloom.formats.codec import AbstractCodec, Claim, Naming, Spelling, claimed
from loraloom.formats.contents import Config, Contents
from loraloom.formats.dotted_names import meaning_of
from loraloom.formats.endings import COMFY
from loraloom.formats.families import claims_of_nearest, family_to_name, require_family
from loraloom.formats.flat_spelling import spell_flat
from loraloom.formats.naming.family import Family
from loraloom.formats.naming.meaning import Holder, Meaning
from loraloom.formats.naming.names import Names
from loraloom.formats.naming.network import Network
from loraloom.formats.naming.renaming import Spelling as Spelled
from loraloom.formats.naming.table import FAMILIES
from loraloom.formats.outline import Layer, Outline

_ENCODERS: Final[Mapping[str, str]] = MappingProxyType(
    {"clip_l": "clip_l", "clip_g": "clip_g", "t5": "t5xxl"}
)
"""The Open Model Initiative's names of text encoders, and ComfyUI's."""
_STARTS: Final = frozenset(_ENCODERS) | {
    start
    for family in FAMILIES.values()
    for network in family.networks
    for start in (network.part, *network.prefixes)
}


@final
class OneTrainer(AbstractCodec):
    """Two dialects in which it keeps its own files, one of them the Open Model Initiative's.

    In the first every level of diffusers' name is kept after kohya's prefix
    (`lora_te1.text_model.…`), in the second the authors' names come after the network's
    (`transformer.double_blocks.0.img_attn.qkv.0`: the first of three stacked weights). The parts
    are LyCORIS's. Source: Nerogar/OneTrainer, modules/util/convert/lora.
    """

    name: ClassVar[str] = "onetrainer"
    description: ClassVar[str] = "OneTrainer's dotted names, as it keeps its own files"
    is_folder: ClassVar[bool] = False
    is_hashed: ClassVar[bool] = False
    keeps_scale: ClassVar[bool] = False

    def claims(self, contents: Contents) -> Mapping[str, Claim]:
        split = {
            key: found
            for key in contents.shapes
            if key.partition(".")[0] in _STARTS and (found := COMFY.split(key)) is not None
        }
        modules = dict.fromkeys(module for module, _ in split.values())

        def names_in(family: Family) -> Callable[[str], Meaning | None]:
            authors = {_authors(family, module) for module in modules} - {""}
            names = family.names_in(authors, Spelled.MODULE, contents.where)
            return partial(_meaning_of, family, names)

        def claims_of(family: Family, found: Mapping[str, Meaning]) -> Mapping[str, Claim]:
            return {
                key: claimed(found[module], ending, family.name)
                for key, (module, ending) in split.items()
                if module in found
            }

        return claims_of_nearest(contents, modules, names_in, claims_of)

    def naming(self, outline: Outline) -> Naming:
        family = family_to_name(outline)
        if family is None:
            return lambda place: None
        holder = _names_for(family)
        return lambda place: None if isinstance(place, Span) else holder(place)

    def require_names(self, outline: Outline) -> None:
        require_family(outline, _names_for)

    def spell(self, place: Place, layer: Layer, part: str) -> Spelling | None:
        return spell_flat(COMFY, place, layer, part)

    def header(self, outline: Outline) -> tuple[dict[str, str], Config]:
        return {}, None


def _names_for(family: Family) -> Callable[[Site], Holder | None]:
    def holder(site: Site) -> Holder | None:
        network = family.network(site.part)
        if network is None:
            return None
        return Holder(f"{_prefix(network)}.{site.module}", Meaning(sites=(site,)))

    return holder


def _meaning_of(family: Family, names: Names, module: str) -> Meaning | None:
    own = _own(family, module)
    if own is not None:
        return own
    authors = _authors(family, module)
    return meaning_of(names, authors) if authors else None


def _own(family: Family, module: str) -> Meaning | None:
    """Return what diffusers' name after one of kohya's prefixes means."""
    prefix, _, name = module.partition(".")
    for network in family.networks:
        canonical = network.canonical(name) if prefix in network.prefixes else None
        if canonical is not None:
            return Meaning(sites=(Site(network.part, f"{canonical}.weight"),))
    return None


def _authors(family: Family, module: str) -> str:
    """Return ComfyUI's name for a module that is named after its network; "" for others."""
    prefix, _, name = module.partition(".")
    for network in family.networks:
        dotted = network.dotted_prefixes[0]
        if network.native is not None and prefix == network.part:
            return f"{dotted}.{name}"
        if _ENCODERS.get(prefix) in dotted.split("."):
            return f"{dotted}.{name}"
    return ""


def _prefix(network: Network) -> str:
    """Return the prefix that OneTrainer writes, which counts T5 second for FLUX."""
    wished = {"transformer": "lora_transformer", "text_encoder_2": "lora_te2"}
    prefix = wished.get(network.part, "")
    return prefix if prefix in network.prefixes else network.prefixes[0]
