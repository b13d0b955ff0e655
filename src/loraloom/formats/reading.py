"""From the names and shapes in a file to an outline: the half of reading that needs no tensors."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import final

from loraloom.adapters.site import Site
from loraloom.errors import ModelError
from loraloom.formats.card import read_card
from loraloom.formats.codec import ALPHA, AbstractCodec, Claim, Config, Metadata
from loraloom.formats.layout import Shape, layout_of
from loraloom.formats.naming.table import family_of
from loraloom.formats.outline import Layer, Outline, excerpt


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


def understand(codec: AbstractCodec, shapes: Mapping[str, Shape], metadata: Metadata) -> Reading:
    """Give every tensor its place; one without, or two in one place, are a `ModelError`."""
    claims = codec.claims(shapes.keys(), metadata)
    rest = [key for key in shapes if key not in claims]
    if rest or not claims:
        raise ModelError("format.unclaimed", format=codec.name, keys=excerpt(rest))
    keys: dict[Site, dict[str, str]] = {}
    for key, claim in claims.items():
        first = keys.setdefault(claim.site, {}).setdefault(claim.part, key)
        if first != key:
            raise ModelError("format.claimed_twice", site=claim.site, first=first, second=key)
        if claim.part == ALPHA and shapes[key] not in ((), (1,)):
            raise ModelError("format.alpha_shape", key=key, shape=shapes[key])
    return Reading(claims=claims, keys=keys)


def outline_of_file(
    codec: AbstractCodec,
    reading: Reading,
    shapes: Mapping[str, Shape],
    numbers: Mapping[str, float],
    metadata: Metadata,
    config: Config,
) -> Outline:
    """Return what a file says, given the values of its alpha tensors in `numbers`."""
    layers: dict[Site, Layer] = {}
    for site, keys in reading.keys.items():
        layers[site] = _layer(site, {part: shapes[keys[part]] for part in keys if part != ALPHA})
    alphas = {
        **codec.alphas({site: each.rank for site, each in layers.items()}, metadata, config),
        **{reading.claims[key].site: number for key, number in numbers.items()},
    }
    return Outline(
        card=read_card(metadata, family_of(layers)),
        layers={site: replace(each, alpha=alphas.get(site)) for site, each in layers.items()},
    )


def _layer(site: Site, shapes: Mapping[str, Shape]) -> Layer:
    layout = layout_of(shapes)
    if layout is None:
        raise ModelError("format.parts", site=site, parts=", ".join(sorted(shapes)))
    if any(len(shape) < 2 or 0 in shape for shape in shapes.values()):
        raise ModelError("format.factor_shapes", site=site, shapes=dict(shapes))
    return Layer(
        kind=layout.kind, rank=layout.rank(shapes), alpha=None, weight=layout.weight(shapes)
    )
