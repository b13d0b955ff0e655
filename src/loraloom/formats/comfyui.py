"""ComfyUI's dotted names, in the spelling of each model's authors: `diffusion_model.….lora_up`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import ClassVar, Final, final

from loraloom.adapters.span import Place
from loraloom.formats.codec import AbstractCodec, Claim, Naming, Spelling, claimed
from loraloom.formats.contents import Config, Contents
from loraloom.formats.dotted_names import meaning_of
from loraloom.formats.endings import COMFY
from loraloom.formats.families import claims_of_nearest
from loraloom.formats.flat_spelling import spell_flat
from loraloom.formats.naming.family import Family
from loraloom.formats.naming.meaning import Meaning
from loraloom.formats.naming.renaming import Spelling as Spelled
from loraloom.formats.naming.table import FAMILIES
from loraloom.formats.outline import Layer, Outline

_FLAT: Final = ("lora_", "lycoris_", "oft_")
"""What no author's name begins with, but kohya's all do."""


@final
class ComfyUI(AbstractCodec):
    """`diffusion_model.`, the authors' name of the module, and LyCORIS's or PEFT's of the part.

    Alpha is a tensor, without it the scale is 1. The prefix may be missing. ai-toolkit and
    OneTrainer write such files too. Source: comfyanonymous/ComfyUI, comfy/lora.py.
    """

    name: ClassVar[str] = "comfyui"
    description: ClassVar[str] = "ComfyUI's dotted names in the spelling of the model's authors"
    is_folder: ClassVar[bool] = False
    is_hashed: ClassVar[bool] = False

    def claims(self, contents: Contents) -> Mapping[str, Claim]:
        split = {
            key: found
            for key in contents.shapes
            if not key.startswith(_FLAT) and (found := COMFY.split(key)) is not None
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
        family = FAMILIES.get(outline.card.family)
        if family is None:
            return lambda place: None
        sites = [site for place in outline.layers for site in place.sites]
        names = family.names_for(sites, Spelled.MODULE, outline.card.name or self.name)
        return lambda place: names.holder(place.sites[0])

    def spell(self, place: Place, layer: Layer, part: str) -> Spelling | None:
        return spell_flat(COMFY, place, layer, part)

    def header(self, outline: Outline) -> tuple[dict[str, str], Config]:
        return {}, None
