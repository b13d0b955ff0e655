"""The table of model families, as file formats know them."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from types import MappingProxyType
from typing import Final

from loraloom.adapters.site import Site
from loraloom.formats.naming.family import Family
from loraloom.formats.naming.flux import FLUX
from loraloom.formats.naming.llama import LLAMA
from loraloom.formats.naming.sd1 import SD1
from loraloom.formats.naming.sd2 import SD2
from loraloom.formats.naming.sd3 import SD3
from loraloom.formats.naming.sdxl import SDXL

FAMILIES: Final[Mapping[str, Family]] = MappingProxyType(
    {family.name: family for family in (SD1, SD2, SDXL, SD3, FLUX, LLAMA)}
)


def family_of(sites: Iterable[Site]) -> str:
    """Return the name of the first family that knows all sites; "" if none does."""
    return next(iter(families_of(dict.fromkeys(sites, ()))), "")


_VERSIONS: Final = ("ss_base_model_version", "modelspec.architecture")
FAMILY_KEYS: Final = (*_VERSIONS, "ss_v2", "modelspec.implementation")
"""The entries of headers by which kohya and modelspec tell a family."""


def families_of(weights: Mapping[Site, tuple[int | None, ...]]) -> tuple[str, ...]:
    """Return the names of the families that weights can be of, told by their names and shapes.

    Names leave several where their networks are built alike: Stable Diffusion 1, 2 and XL. If
    published models of some have all the `weights`, only those are left; else those whose published
    width is that of weights which tell it. A model of no published width leaves all.
    """
    published = [family.name for family in FAMILIES.values() if family.is_published(weights)]
    if published:
        return tuple(published)
    families = [family for family in FAMILIES.values() if all(map(family.knows, weights))]
    fitting = [family for family in families if family.fits(weights)]
    return tuple(family.name for family in fitting or families)


def family_told(metadata: Mapping[str, str]) -> str:
    """Return the family that a file's header names, as kohya or modelspec do; "" if none."""
    # In a folder of several files an entry's name begins with its subfolder.
    entries = {key.rpartition("/")[2]: text for key, text in metadata.items()}
    told = [entries[key].lower() for key in _VERSIONS if key in entries]
    for family in FAMILIES.values():
        if any(text.startswith(family.versions) for text in told):
            return family.name
    return SD2.name if entries.get("ss_v2") == "True" else ""


def part_of(modules: Iterable[str]) -> str:
    """Return the part that the modules of one live network are of; "model" if no family says.

    Of several, it is the first: CLIP alone is `text_encoder`.
    """
    return next(iter(parts_of(tuple(modules))), "model")


def parts_of(modules: Collection[str]) -> tuple[str, ...]:
    """Return every part that the modules of one live network can be of, in the table's order."""
    return tuple(
        dict.fromkeys(
            network.part
            for family in FAMILIES.values()
            for network in family.networks
            if all(network.canonical(module) is not None for module in modules)
        )
    )
