"""kohya's flat names, which every web UI reads: `lora_unet_down_blocks_0_….lora_down.weight`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from itertools import islice
from typing import ClassVar, Final, final

from loraloom.adapters.site import Site
from loraloom.adapters.span import Place
from loraloom.formats.codec import AbstractCodec, Claim, Naming, Spelling, claimed
from loraloom.formats.contents import Config, Contents
from loraloom.formats.endings import FLAT
from loraloom.formats.families import claims_of_nearest, family_to_name, require_family
from loraloom.formats.flat_spelling import spell_flat
from loraloom.formats.kohya_header import kohya_header
from loraloom.formats.naming.family import Family
from loraloom.formats.naming.meaning import Holder, Meaning
from loraloom.formats.naming.renaming import Spelling as Spelled
from loraloom.formats.naming.table import FAMILIES
from loraloom.formats.outline import Layer, Outline
from loraloom.formats.rearrangement import Settings

_LOOKED_AT: Final = 32
_STARTS: Final = tuple(
    {
        start
        for family in FAMILIES.values()
        for network in family.networks
        for start in network.starts(Spelled.FLAT)
    }
)
_ROTATION: Final = "oft_"
"""What kohya's own rotations begin with; they are bound by an alpha of 0 as well."""


@final
class Kohya(AbstractCodec):
    """A module's flat name, a dot, and the part; alpha is a tensor, without it the scale is 1.

    LyCORIS's files are of the same grammar. Source: kohya-ss/sd-scripts, networks/lora.py;
    KohakuBlueleaf/LyCORIS, lycoris/modules.
    """

    name: ClassVar[str] = "kohya"
    description: ClassVar[str] = "kohya's and LyCORIS's flat names, for web UIs (A1111, ComfyUI)"
    is_folder: ClassVar[bool] = False
    is_hashed: ClassVar[bool] = True
    keeps_scale: ClassVar[bool] = False

    def __init__(self, network_module: str = "") -> None:
        self._network_module = network_module

    def claims(self, contents: Contents) -> Mapping[str, Claim]:
        split = {key: key.partition(".") for key in contents.shapes if key.startswith(_STARTS)}
        known = {
            key: (flat, ending)
            for key, (flat, _, text) in split.items()
            if (ending := FLAT.named(text)) is not None
        }
        modules = dict.fromkeys(flat for flat, _ in known.values())

        def names_in(family: Family) -> Callable[[str], Meaning | None]:
            return family.names_in(modules.keys(), Spelled.FLAT, contents.where).meaning

        def claims_of(family: Family, found: Mapping[str, Meaning]) -> Mapping[str, Claim]:
            return {
                key: claimed(found[flat], ending, family.name)
                for key, (flat, ending) in known.items()
                if flat in found and not found[flat].transposed
            }

        return claims_of_nearest(contents, modules, names_in, claims_of, _is_spelled_so)

    def bound(self, contents: Contents, key: str, alpha: float) -> Settings:
        if key.startswith(_ROTATION):
            return {"constraint": alpha}
        return super().bound(contents, key, alpha)

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
        return family.names_for(sites, Spelled.FLAT, outline.card.name or self.name).holder

    def spell(self, place: Place, layer: Layer, part: str) -> Spelling | None:
        return spell_flat(FLAT, place, layer, part)

    def header(self, outline: Outline) -> tuple[dict[str, str], Config]:
        return {}, None

    def description_of(self, outline: Outline) -> dict[str, str]:
        return kohya_header(outline, self._network_module)


def _is_spelled_so(family: Family, claims: Mapping[str, Claim]) -> bool:
    """Whether modules have the authors' names, which kohya's trainer has for this family alone.

    Those of Stable Diffusion XL: files for 1 and 2 have diffusers' names, as have some for XL.
    """
    for key, claim in islice(claims.items(), _LOOKED_AT):
        site = claim.meaning.site
        network = None if site is None else family.network(site.part)
        if site is None or network is None or not network.is_natively_trained:
            continue
        name = key.partition(".")[0]
        rests = [name.removeprefix(start) for start in network.starts(Spelled.FLAT)]
        written = (family.flat(site) or "").removeprefix(network.starts(Spelled.FLAT)[0])
        if written and written in rests:
            return True
    return False
