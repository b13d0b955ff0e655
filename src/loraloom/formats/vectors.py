"""Biases and norms: parameters that are vectors, for which most formats of LoRAs have no place."""

from __future__ import annotations

import re
from typing import Final, Literal, TypeAlias, get_args

from loraloom.adapters.site import Site
from loraloom.adapters.span import Place

Vector: TypeAlias = Literal["bias", "norm"]
VECTORS: Final[tuple[Vector, ...]] = get_args(Vector)

_NORM: Final = re.compile(r"(.+_)?(layer_?)?norm\d*(_\w+)?|ln_\w+")
"""What layers that normalise are called in the known networks."""
_PARAMETERS: Final = ("weight", "bias")


def is_of_norm(site: Site) -> bool:
    """Whether a parameter is a weight or bias of a layer that normalises, by the layer's name."""
    named = _NORM.fullmatch(site.module.rpartition(".")[2]) is not None
    return named and site.parameter in _PARAMETERS


def vector_of(place: Place) -> Vector | None:
    """Return what a place is: all of a norm is "norm", another layer's bias "bias"; else None."""
    (site, *others) = place.sites
    if others:
        return None
    if is_of_norm(site):
        return "norm"
    return "bias" if site.parameter == "bias" else None
