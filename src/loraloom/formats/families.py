"""Which model family a file is for."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final

from loraloom.adapters.site import Site
from loraloom.adapters.span import Place
from loraloom.errors import ModelError
from loraloom.formats.card import KEY
from loraloom.formats.codec import Claim
from loraloom.formats.contents import Contents
from loraloom.formats.group import grouped
from loraloom.formats.layout import Claimed
from loraloom.formats.naming.family import Family
from loraloom.formats.naming.meaning import Holder, Meaning
from loraloom.formats.naming.table import (
    FAMILIES,
    FAMILY_KEYS,
    families_of,
    family_told,
    parts_of,
)
from loraloom.formats.outline import Layer, Outline

_LOOKED_AT: Final = 24


def family_of_file(contents: Contents, layers: Mapping[Place, Layer], named: str = "") -> str:
    """Return the family's name; "" if no known one has all the weights, or several have.

    Of weights that are no published model's it is the first family that has such names.

    `named` is the only one that has such names in files, "" if that is open. Names decide, then
    what the published models have, then what the header says. A family that was stated, and
    cannot be, is a `ModelError`.
    """
    weights = weights_of(layers)
    possible = families_of(weights)
    if contents.family:
        if contents.family not in possible:
            _contradict(contents, possible)
        return contents.family
    told = named or family_told(contents.metadata)
    if told in possible or (named and not _are_published(possible, weights)):
        return told
    return _family_alone(weights, possible)


def with_family(outline: Outline, metadata: Mapping[str, str]) -> Mapping[str, str]:
    """Return a header that tells the family, if neither it nor the weights alone would.

    What it said of another family is replaced.
    """
    name, told = outline.card.family, family_told(metadata)
    family = FAMILIES.get(name)
    if family is None or not family.architecture or name == told or KEY in metadata:
        return metadata
    weights = weights_of(outline.layers)
    if name == _family_alone(weights, families_of(weights)):
        return metadata
    entries = {key: text for key, text in metadata.items() if key not in FAMILY_KEYS}
    return entries | family.told


def _family_alone(weights: Mapping[Site, Claimed], possible: Sequence[str]) -> str:
    """Return the family that weights tell without a header; "" if none or several have them."""
    if len(possible) == 1 or not _are_published(possible, weights):
        return next(iter(possible), "")
    return ""


def family_to_name(outline: Outline) -> Family | None:
    """Return the family by which weights are to be named; None if none is known.

    Where the card tells none, it is the first that the weights can be of.
    """
    if outline.card.family:
        return FAMILIES.get(outline.card.family)
    return next((FAMILIES[name] for name in families_of(weights_of(outline.layers))), None)


def possible_families(layers: Mapping[Place, Layer]) -> tuple[str, ...]:
    """Return the families that the weights can be of, told by their names and shapes."""
    return families_of(weights_of(layers))


def require_family(
    outline: Outline, names_for: Callable[[Family], Callable[[Site], Holder | None]]
) -> None:
    """Raise ModelError if the weights can be of several families that name them differently.

    `names_for` gives a family's names of weights in the format to be written.
    """
    if outline.card.family:
        return
    weights = weights_of(outline.layers)
    possible = families_of(weights)
    names: list[list[Holder | None]] = []
    for name in possible:
        holder = names_for(FAMILIES[name])
        names.append([holder(site) for site in weights])
    if any(own != names[0] for own in names):
        _ask(outline.card.name or "the adapter", possible)


def part_alone(
    contents: Contents,
    modules: Collection[str],
    claims_as: Callable[[str], Mapping[str, Claim]],
) -> str:
    """Return the part that one network alone plays, whose file does not name it.

    `claims_as` are the claims if it is a given part. Names decide, then the published models that
    have such weights, then the name of the folder; several are a `ModelError`. A network of no
    published model is the first part whose names it has.
    """
    owners: dict[str, list[str]] = {}
    parts = parts_of(modules)
    for part in parts if len(parts) > 1 else ():
        weights = _weights(contents, claims_as(part))
        for family in FAMILIES.values():
            if weights and family.is_published(weights):
                owners.setdefault(part, []).append(family.name)
    stated = {part: names for part, names in owners.items() if contents.family in names}
    owners = stated or owners
    folder = Path(contents.where).name
    if len(owners) > 1 and folder not in owners:
        names = [name for names in owners.values() for name in names]
        _ask(contents.where, dict.fromkeys(names))
    return folder if folder in owners else next(iter((*owners, *parts)), "model")


def is_assumed(outline: Outline, metadata: Mapping[str, str]) -> bool:
    """Whether an adapter's family is only the first of several that have such names."""
    weights = weights_of(outline.layers)
    possible = families_of(weights)
    ours = any(key.rpartition("/")[2] == KEY for key in metadata)
    told = ours or bool(family_told(metadata))
    return len(possible) > 1 and not told and not _are_published(possible, weights)


def _contradict(contents: Contents, possible: Collection[str]) -> None:
    raise ModelError(
        "format.family_contradicted",
        where=contents.where,
        family=contents.family,
        possible=", ".join(possible) or "-",
    )


def _ask(where: str, possible: Collection[str]) -> None:
    raise ModelError("format.family_open", where=where, families=", ".join(possible))


def _are_published(names: Collection[str], weights: Mapping[Site, Claimed]) -> bool:
    """Whether some family has published such weights, or a model as wide."""
    families = [FAMILIES[name] for name in names]
    return any(family.is_published(weights) or family.fits(weights) for family in families)


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
    amount to. Of several families it is the one that was stated, or that the header names, or those
    whose published models have such weights, or else those that `prefers` says would be spelled
    like this; if several published ones are left the claims have no family. Names that no family
    understands whole, and one cannot even count, or whose meaning depends on the family, are a
    `ModelError`.
    """
    if not modules:
        return {}
    told = contents.family or family_told(contents.metadata)
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
    nearest = {name: every[name] for name in FAMILIES if name in every and len(every[name]) == most}
    if contents.family and most and contents.family not in nearest:
        _contradict(contents, nearest)
    return _agreed(contents, nearest, told, prefers) if nearest else {}


def _agreed(
    contents: Contents,
    found: Mapping[str, Mapping[str, Claim]],
    told: str,
    prefers: Callable[[Family, Mapping[str, Claim]], bool],
) -> Mapping[str, Claim]:
    """Return the claims of the one of several families that is meant, or what all agree on."""
    if told in found or len(found) == 1 or not any(found.values()):
        return found[told] if told in found else next(iter(found.values()))
    weights = {name: _weights(contents, claims) for name, claims in found.items()}
    names = list(found)
    for fits in (Family.is_published, Family.fits):
        fitting = [name for name in names if weights[name] and fits(FAMILIES[name], weights[name])]
        names = fitting or names
    names = [name for name in names if prefers(FAMILIES[name], found[name])] or names
    first = found[names[0]]
    if any(
        each.meaning != first[key].meaning for name in names for key, each in found[name].items()
    ):
        _ask(contents.where, names)
    if len(names) == 1 or not _are_published(names, weights[names[0]]):
        return first
    return {key: replace(claim, family="") for key, claim in first.items()}


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
    """Return the families that know most of a few modules; looking all up takes its time.

    One that has all names has those few, so where none knows any there is none.
    """
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
    return [name for name, count in hits.items() if count == most > 0]


def _weights(contents: Contents, claims: Mapping[str, Claim]) -> Mapping[Site, Claimed]:
    """Return the shapes of the weights that are claimed; none if the tensors make no deltas."""
    keys: dict[Meaning, dict[str, str]] = {}
    for key, claim in claims.items():
        keys.setdefault(claim.meaning, {})[claim.ending.part] = key
    endings = {key: claim.ending for key, claim in claims.items()}
    try:
        groups = grouped(contents, keys, endings, dict.fromkeys(claims, 0.0), {})
    except ModelError:
        return {}
    return weights_of({place: layer for each in groups for place, layer in each.layers().items()})
