"""kohya's flat names, which every web UI reads: `lora_unet_down_blocks_0_….lora_down.weight`."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from types import MappingProxyType
from typing import ClassVar, Final, final

from loraloom.adapters.site import Site
from loraloom.formats.card import card_entry
from loraloom.formats.codec import ALPHA, AbstractCodec, Claim
from loraloom.formats.contents import Config, Contents
from loraloom.formats.kohya_header import kohya_header
from loraloom.formats.naming.family import Family
from loraloom.formats.naming.table import FAMILIES
from loraloom.formats.outline import Outline

_ENDINGS: Final[Mapping[str, str]] = MappingProxyType(
    {
        "down": "lora_down.weight",
        "up": "lora_up.weight",
        ALPHA: "alpha",
    }
)
_PARTS: Final[Mapping[str, str]] = MappingProxyType({end: part for part, end in _ENDINGS.items()})


@final
class Kohya(AbstractCodec):
    """A module's flat name, a dot, and the part; alpha is a tensor, without it the scale is 1.

    Source: kohya-ss/sd-scripts, networks/lora.py.
    """

    name: ClassVar[str] = "kohya"
    description: ClassVar[str] = "kohya's flat names, for web UIs (A1111, Forge, ComfyUI)"
    is_folder: ClassVar[bool] = False
    is_hashed: ClassVar[bool] = True

    def claims(self, contents: Contents) -> Mapping[str, Claim]:
        return max((_claims_in(family, contents.shapes) for family in FAMILIES.values()), key=len)

    def alphas(self, contents: Contents, ranks: Mapping[Site, int]) -> Mapping[Site, float]:
        return {}

    def spell(self, outline: Outline, site: Site, part: str) -> str | None:
        family = FAMILIES.get(outline.card.family)
        flat = None if family is None else family.flat(site)
        return None if flat is None or part not in _ENDINGS else f"{flat}.{_ENDINGS[part]}"

    def header(self, outline: Outline) -> tuple[dict[str, str], Config]:
        return kohya_header(outline) | card_entry(outline.card), None


def _claims_in(family: Family, keys: Collection[str]) -> Mapping[str, Claim]:
    """Return what the tensors are if the file is for this family."""
    claims: dict[str, Claim] = {}
    for key in keys:
        flat, _, ending = key.partition(".")
        site = family.site(flat)
        if site is not None and ending in _PARTS:
            claims[key] = Claim(site, _PARTS[ending])
    return claims
