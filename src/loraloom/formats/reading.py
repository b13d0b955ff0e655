"""From the names and shapes in a file to an outline: the half of reading that needs no tensors."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import final

from loraloom.adapters.site import Site
from loraloom.errors import ModelError
from loraloom.formats.card import read_card
from loraloom.formats.codec import ALPHA, AbstractCodec, Claim
from loraloom.formats.contents import Contents
from loraloom.formats.excerpt import excerpt
from loraloom.formats.layout import Shape, layout_of
from loraloom.formats.naming.table import family_of
from loraloom.formats.outline import Layer, Outline


@final
@dataclass(frozen=True, kw_only=True)
class Reading:
    """What the tensors of a file are: by tensor name, and by site and part."""

    claims: Mapping[str, Claim]
    keys: Mapping[Site, Mapping[str, str]]

    @property
    def alpha_keys(self) -> tuple[str, ...]:
        """The names of the tensors that hold an alpha."""
        return tuple(key for key, claim in self.claims.items() if claim.part == ALPHA)

    @property
    def factor_keys(self) -> tuple[str, ...]:
        """The names of the tensors that hold a factor."""
        return tuple(key for key, claim in self.claims.items() if claim.part != ALPHA)


def understand(codec: AbstractCodec, contents: Contents) -> Reading:
    """Give every tensor its place; one without, or two in one place, are a `ModelError`."""
    where = contents.where
    claims = codec.claims(contents)
    rest = [key for key in contents.shapes if key not in claims]
    if rest or not claims:
        raise ModelError("format.unclaimed", where=where, format=codec.name, keys=excerpt(rest))
    keys: dict[Site, dict[str, str]] = {}
    for key, claim in claims.items():
        first = keys.setdefault(claim.site, {}).setdefault(claim.part, key)
        if first != key:
            raise ModelError("format.claimed_twice", where=where, first=first, second=key)
        shape = contents.shapes[key]
        if claim.part == ALPHA and shape not in ((), (1,)):
            raise ModelError("format.alpha", where=where, key=key, found=shape)
    return Reading(claims=claims, keys=keys)


def outline_of_file(
    codec: AbstractCodec, contents: Contents, reading: Reading, numbers: Mapping[str, float]
) -> Outline:
    """Return what a file says, given the values of its alpha tensors in `numbers`."""
    for key, number in numbers.items():
        if not math.isfinite(number):
            raise ModelError("format.alpha", where=contents.where, key=key, found=number)
    layers: dict[Site, Layer] = {}
    for site, keys in reading.keys.items():
        shapes = {part: contents.shapes[keys[part]] for part in keys if part != ALPHA}
        layers[site] = _layer(site, shapes, contents.where)
    alphas = {
        **codec.alphas(contents, {site: layer.rank for site, layer in layers.items()}),
        **{reading.claims[key].site: number for key, number in numbers.items()},
    }
    return Outline(
        card=read_card(contents, family_of(layers)),
        layers={site: replace(each, alpha=alphas.get(site)) for site, each in layers.items()},
    )


def _layer(site: Site, shapes: Mapping[str, Shape], where: str) -> Layer:
    layout = layout_of(shapes)
    if layout is None:
        parts = ", ".join(sorted(shapes)) or "-"
        raise ModelError("format.parts", where=where, site=site, parts=parts)
    if any(len(shape) < 2 or 0 in shape for shape in shapes.values()):
        found = ", ".join(f"{part} {shape}" for part, shape in shapes.items())
        raise ModelError("format.shapes", where=where, site=site, found=found)
    return Layer(
        kind=layout.kind, rank=layout.rank(shapes), alpha=None, weight=layout.weight(shapes)
    )
