"""The table of model families, as file formats know them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Final

from loraloom.adapters.site import Site
from loraloom.formats.naming.family import Family
from loraloom.formats.naming.sd1 import SD1

FAMILIES: Final[Mapping[str, Family]] = MappingProxyType({SD1.name: SD1})


def family_of(sites: Iterable[Site]) -> str:
    """Return the name of the first family that knows all sites; "" if none does."""
    sites = tuple(sites)
    for family in FAMILIES.values():
        if all(family.knows(site) for site in sites):
            return family.name
    return ""


def part_of(modules: Iterable[str]) -> str:
    """Return the part that the modules of one live network are of; "model" if no family says."""
    modules = tuple(modules)
    for family in FAMILIES.values():
        for network in family.networks:
            if all(network.canonical(module) is not None for module in modules):
                return network.part
    return "model"
