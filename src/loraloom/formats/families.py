"""Which model family a file is for."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from typing import Final

from loraloom.adapters.site import Site
from loraloom.adapters.span import Place
from loraloom.errors import ModelError
from loraloom.formats.codec import Claim
from loraloom.formats.contents import Contents
from loraloom.formats.group import grouped
from loraloom.formats.layout import Claimed
from loraloom.formats.naming.family import Family
from loraloom.formats.naming.meaning import Meaning
from loraloom.formats.naming.table import FAMILIES, families_of, family_told
from loraloom.formats.outline import Layer

_LOOKED_AT: Final = 24


def family_of_file(contents: Contents, layers: Mapping[Place, Layer]) -> str:
    """Return the family's name; "" if no known one has all the weights.

    Names decide, then what the header says, then the shapes of the weights.
    """
    weights = weights_of(layers)
    named = [name for name, family in FAMILIES.items() if all(map(family.knows, weights))]
    told = family_told(contents.metadata)
    return told if told in named else next(iter(families_of(weights)), "")


def weights_of(layers: Mapping[Place, Layer]) -> dict[Site, Claimed]:
    """Return the shape of every weight, those of spans one by one, as far as they are known."""
    return {
        site: layer.weight if site is place else (None, *layer.weight[1:])
        for place, layer in layers.items()
        for site in place.sites
    }


def claims_of_nearest(
    contents: Contents,
    modules: Collection[str],
    names_in: Callable[[Family], Callable[[str], Meaning | None]],
    claims_of: Callable[[Family, Mapping[str, Meaning]], Mapping[str, Claim]],
    prefers: Callable[[Family, Mapping[str, Claim]], bool] = lambda family, claims: False,
) -> Mapping[str, Claim]:
    """Return what tensors are by the family under which most of them are understood.

    `names_in` gives a family's look-up of the `modules`, `claims_of` the claims that their meanings
    amount to. Of several families it is the one that the header names, or else that the weights'
    widths fit, or else one that `prefers` says would be spelled like this. Names that no family
    understands whole, and one cannot even count, are a `ModelError`.
    """
    if not modules:
        return {}
    told = family_told(contents.metadata)
    every: dict[str, Mapping[str, Claim]] = {}
    uncounted: ModelError | None = None
    for name in _told_first(told, modules, names_in):
        try:
            meaning_of = names_in(FAMILIES[name])
            found = {each: meaning for each in modules if (meaning := meaning_of(each)) is not None}
            every[name] = claims_of(FAMILIES[name], found)
        except ModelError as error:
            uncounted = uncounted or error
        if name == told and len(every.get(name, ())) == len(contents.shapes):
            return every[name]
    most = max(map(len, every.values()), default=0)
    if uncounted is not None and most < len(contents.shapes):
        raise uncounted
    nearest = [name for name in FAMILIES if len(every.get(name, ())) == most]
    if not nearest:
        return {}
    if told not in nearest and len(nearest) > 1:
        fitting = [name for name in nearest if _fits(name, contents, every[name])]
        fitting += [name for name in nearest if prefers(FAMILIES[name], every[name])]
        nearest = fitting or nearest
    return every[told if told in nearest else nearest[0]]


def _told_first(
    told: str,
    modules: Collection[str],
    names_in: Callable[[Family], Callable[[str], Meaning | None]],
) -> Iterator[str]:
    """Yield the family that the header names, which mostly makes the others needless, then them."""
    if told in FAMILIES:
        yield told
    yield from (name for name in _likely(modules, names_in) if name != told)


def _likely(
    modules: Collection[str], names_in: Callable[[Family], Callable[[str], Meaning | None]]
) -> list[str]:
    """Return the families that know most of a few modules; looking all up takes its time."""
    few = list(modules)[:: max(1, len(modules) // _LOOKED_AT)]
    hits: dict[str, int] = {}
    for name, family in FAMILIES.items():
        try:
            meaning_of = names_in(family)
            hits[name] = sum(meaning_of(module) is not None for module in few)
        except ModelError:
            # Its blocks cannot be counted: that is for the whole look-up to say.
            hits[name] = len(few)
    most = max(hits.values())
    return [name for name, count in hits.items() if count == most]


def _fits(name: str, contents: Contents, claims: Mapping[str, Claim]) -> bool:
    """Whether the shapes of the weights say that they are of this family."""
    keys: dict[Meaning, dict[str, str]] = {}
    for key, claim in claims.items():
        keys.setdefault(claim.meaning, {})[claim.ending.part] = key
    endings = {key: claim.ending for key, claim in claims.items()}
    try:
        groups = grouped(contents, keys, endings, dict.fromkeys(claims, 0.0), {})
    except ModelError:
        return False
    layers = {place: layer for group in groups for place, layer in group.layers().items()}
    return FAMILIES[name].fits(weights_of(layers))
