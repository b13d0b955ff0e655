"""From the names and shapes in a file to an outline: the half of reading that needs no tensors."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Final, final

from loraloom.adapters.site import Site
from loraloom.adapters.span import Place
from loraloom.errors import ModelError
from loraloom.events import Warned
from loraloom.formats.card import read_card
from loraloom.formats.codec import AbstractCodec, Claim, Told
from loraloom.formats.contents import Contents
from loraloom.formats.endings import ALPHA, NUMBERS
from loraloom.formats.excerpt import excerpt
from loraloom.formats.families import family_of_file
from loraloom.formats.group import Group, grouped
from loraloom.formats.naming.meaning import Meaning
from loraloom.formats.outline import Layer, Outline
from loraloom.formats.rearrangement import Settings
from loraloom.formats.words import Word

_NOTHING: Final = Told()
LARGEST_WEIGHT: Final = 2**33
"""Numbers in one weight: twice those of an embedding of 256k tokens in 16k dimensions."""


@final
@dataclass(frozen=True, kw_only=True)
class Reading:
    """What the tensors of a file are: by tensor name, and by the weights meant and the part.

    `copies` are tensors of the base that lie beside the adapter, which are no part of it.
    """

    claims: Mapping[str, Claim]
    keys: Mapping[Meaning, Mapping[str, str]]
    words: Mapping[str, Word]
    copies: frozenset[str] = frozenset()

    @property
    def number_keys(self) -> tuple[str, ...]:
        """The names of the tensors of one number, which tell how to understand the others."""
        return tuple(key for key, claim in self.claims.items() if claim.ending.part in NUMBERS)

    @property
    def factor_keys(self) -> tuple[str, ...]:
        """The names of the tensors that hold the numbers of an update."""
        return tuple(key for key, claim in self.claims.items() if claim.ending.part not in NUMBERS)


@final
@dataclass(frozen=True, kw_only=True)
class Understood:
    """A file's tensors in groups, each a delta or several, and the outline of the whole.

    `warnings` are what whoever uses the file should know.
    """

    groups: tuple[Group, ...]
    outline: Outline
    warnings: tuple[Warned, ...] = ()


def understand(
    codec: AbstractCodec, contents: Contents, claims: Mapping[str, Claim] | None = None
) -> Reading:
    """Give every tensor its place; one without, or two in one place, are a `ModelError`.

    `claims` are the codec's, if they are known already.
    """
    where = contents.where
    claims = codec.claims(contents) if claims is None else claims
    words = codec.words(contents)
    copies = codec.copies(contents, claims)
    placed = {*claims, *words, *copies}
    rest = [key for key in contents.shapes if key not in placed]
    if rest or not claims:
        raise ModelError("format.unclaimed", where=where, format=codec.name, keys=excerpt(rest))
    keys: dict[Meaning, dict[str, str]] = {}
    owners: dict[Site, Meaning] = {}
    for key, claim in claims.items():
        first = keys.setdefault(claim.meaning, {}).setdefault(claim.ending.part, key)
        for site in claim.meaning.sites:
            owner = owners.setdefault(site, claim.meaning)
            if owner != claim.meaning:
                first = next(iter(keys[owner].values()))
        if first != key:
            raise ModelError("format.claimed_twice", where=where, first=first, second=key)
        shape = contents.shapes[key]
        if claim.ending.part in NUMBERS and shape not in ((), (1,)):
            raise ModelError("format.alpha", where=where, key=key, found=shape)
    return Reading(claims=claims, keys=keys, words=words, copies=copies)


def outline_of_file(
    codec: AbstractCodec, contents: Contents, reading: Reading, numbers: Mapping[str, float]
) -> Understood:
    """Return what a file says, given the values of its tensors of one number."""
    for key, number in numbers.items():
        if not math.isfinite(number):
            raise ModelError("format.alpha", where=contents.where, key=key, found=number)
    endings = {key: claim.ending for key, claim in reading.claims.items()}
    rows = {claim.meaning: claim.rows for claim in reading.claims.values() if claim.rows}
    groups = grouped(contents, reading.keys, endings, numbers, rows)
    layers = {place: layer for group in groups for place, layer in group.layers().items()}
    told = codec.told(contents, layers)
    for group in groups:
        alpha: float | None = None
        bound: Settings = {}
        if ALPHA in group.keys:
            key = group.keys[ALPHA]
            alpha, bound = numbers[key], codec.bound(contents, key, numbers[key])
        for place in group.places:
            more = told.get(place, _NOTHING)
            layers[place] = _completed(layers[place], more, alpha, bound)
    _check_sizes(contents.where, layers)
    families = {claim.family for claim in reading.claims.values()} - {""}
    named = families.pop() if len(families) == 1 else ""
    family = family_of_file(contents, layers, named)
    card = read_card(contents, family)
    return Understood(
        groups=groups,
        outline=Outline(card=card, layers=layers),
        warnings=(*_warnings(contents.where, layers), *codec.warnings(contents, layers)),
    )


def _check_sizes(where: str, layers: Mapping[Place, Layer]) -> None:
    """Refuse what claims to update a weight larger than any: a few factors can claim a universe."""
    for place, layer in layers.items():
        if math.prod(side for side in layer.weight if side is not None) > LARGEST_WEIGHT:
            raise ModelError("format.too_large", where=where, site=place, shape=layer.weight)


def _warnings(where: str, layers: Mapping[Place, Layer]) -> Iterator[Warned]:
    silent = [place for place, layer in layers.items() if layer.alpha == 0]
    if silent:
        details = {"where": where, "sites": excerpt(silent)}
        yield Warned(code="format.alpha_zero", details=details)


def _completed(layer: Layer, told: Told, alpha: float | None, bound: Settings) -> Layer:
    """Return a layer with its alpha and settings; a tensor's number counts before what is told."""
    alpha = told.alpha if alpha is None else alpha
    bound = bound if layer.layout.is_bounded else {}
    settings = {**layer.settings, **bound, **told.settings}
    return replace(
        layer,
        alpha=alpha if layer.layout.has_scale else None,
        settings=settings,
        weight=layer.layout.weight(layer.shapes, settings),
    )
