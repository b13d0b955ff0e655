"""Which model family a file is for."""

from __future__ import annotations

from collections.abc import Callable, Mapping

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
    claims_in: Callable[[Family, Contents], Mapping[str, Claim]],
    prefers: Callable[[Family, Mapping[str, Claim]], bool] = lambda family, claims: False,
) -> Mapping[str, Claim]:
    """Return what tensors are by the family under which most of them are understood.

    Of several, it is the one that the header names, or else that the weights' widths fit, or else
    one that `prefers` says would be spelled like this. Names that no family understands whole, and
    one cannot even count, are a `ModelError`.
    """
    every: dict[str, Mapping[str, Claim]] = {}
    uncounted: ModelError | None = None
    for name, family in FAMILIES.items():
        try:
            every[name] = claims_in(family, contents)
        except ModelError as error:
            uncounted = uncounted or error
    most = max(map(len, every.values()), default=0)
    if uncounted is not None and most < len(contents.shapes):
        raise uncounted
    nearest = [name for name, own in every.items() if len(own) == most]
    told = family_told(contents.metadata)
    if told not in nearest:
        fitting = [name for name in nearest if _fits(name, contents, every[name])]
        fitting += [name for name in nearest if prefers(FAMILIES[name], every[name])]
        told = (fitting or nearest)[0]
    return every[told]


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
