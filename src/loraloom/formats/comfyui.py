"""ComfyUI's dotted names, in the spelling of each model's authors: `diffusion_model.….lora_up`."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from functools import partial
from types import MappingProxyType
from typing import ClassVar, Final, final

from loraloom.adapters.site import Site
from loraloom.adapters.span import Place
from loraloom.formats.codec import AbstractCodec, Claim, Naming, Spelling, claimed
from loraloom.formats.contents import Config, Contents
from loraloom.formats.dotted_names import PEFT_START, meaning_of
from loraloom.formats.endings import COMFY, Ending
from loraloom.formats.families import claims_of_nearest, family_to_name, require_family
from loraloom.formats.flat_spelling import spell_flat
from loraloom.formats.naming.family import Family
from loraloom.formats.naming.meaning import Holder, Meaning
from loraloom.formats.naming.renaming import Spelling as Spelled
from loraloom.formats.outline import Layer, Outline

_FLAT: Final = ("lora_", "lycoris_", "oft_")
"""What no author's name begins with, but kohya's all do."""
_XLABS: Final = re.compile(
    r"(?P<block>double_blocks\.\d+)\.processor\.(?P<layer>qkv|proj)_lora(?P<stream>[12])"
    r"\.(?P<factor>down|up)\.weight"
)
_STREAMS: Final[Mapping[str, str]] = MappingProxyType({"1": "img_attn", "2": "txt_attn"})
"""What XLabs counts, and the authors name."""


@final
class ComfyUI(AbstractCodec):
    """`diffusion_model.`, the authors' name of the module, and LyCORIS's or PEFT's of the part.

    Alpha is a tensor, without it the scale is 1. The prefix may be missing. ai-toolkit and
    OneTrainer write such files too, and PEFT's prefix may be there, of FLUX's authors' names
    without a configuration. XLabs's names of FLUX's attentions are read as well. Source:
    comfyanonymous/ComfyUI, comfy/lora.py; huggingface/diffusers, loaders/lora_conversion_utils.py.
    """

    name: ClassVar[str] = "comfyui"
    description: ClassVar[str] = "ComfyUI's dotted names in the spelling of the model's authors"
    is_folder: ClassVar[bool] = False
    is_hashed: ClassVar[bool] = False
    keeps_scale: ClassVar[bool] = False

    def claims(self, contents: Contents) -> Mapping[str, Claim]:
        split = {
            key: found
            for key in contents.shapes
            if not key.startswith(_FLAT) and (found := _split(key, contents)) is not None
        }
        modules = dict.fromkeys(module for module, _ in split.values())

        def names_in(family: Family) -> Callable[[str], Meaning | None]:
            names = family.names_in(modules.keys(), Spelled.MODULE, contents.where)
            return partial(meaning_of, names)

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
        holder = self._names_for(outline, family)
        return lambda place: holder(place.sites[0])

    def require_names(self, outline: Outline) -> None:
        require_family(outline, partial(self._names_for, outline))

    def _names_for(self, outline: Outline, family: Family) -> Callable[[Site], Holder | None]:
        sites = [site for place in outline.layers for site in place.sites]
        return family.names_for(sites, Spelled.MODULE, outline.card.name or self.name).holder

    def spell(self, place: Place, layer: Layer, part: str) -> Spelling | None:
        return spell_flat(COMFY, place, layer, part)

    def header(self, outline: Outline) -> tuple[dict[str, str], Config]:
        return {}, None


def _split(key: str, contents: Contents) -> tuple[str, Ending] | None:
    """Part a tensor's name into the authors' name of the module and the ending."""
    match = _XLABS.fullmatch(key)
    if match is not None:
        module = f"{match['block']}.{_STREAMS[match['stream']]}.{match['layer']}"
        ending = COMFY.named(f"lora_{match['factor']}.weight")
        return None if ending is None else (module, ending)
    return COMFY.split(key.removeprefix(PEFT_START) if contents.config is None else key)
