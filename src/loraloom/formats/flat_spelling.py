"""How LyCORIS ends the names of tensors, and shapes them, when files are written."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from loraloom.adapters.span import Place
from loraloom.formats.codec import Spelling
from loraloom.formats.endings import Ending, Endings
from loraloom.formats.layout import MAGNITUDE
from loraloom.formats.outline import Layer
from loraloom.formats.rearrangement import Shape
from loraloom.formats.vectors import is_of_norm

_OF_NORMS: Final[Mapping[str, str]] = MappingProxyType({"weight": "w_norm", "bias": "b_norm"})


def spell_flat(endings: Endings, place: Place, layer: Layer, part: str) -> Spelling | None:
    """Return the ending and shape of a part; None for what LyCORIS has no way to say.

    That is a rotation of the inputs, or one by another map than Cayley's, and a scale of its own
    where there is no rank.
    """
    site = place.sites[0]
    parameter = site.parameter
    if parameter not in ("weight", "bias") or not _is_plain(layer):
        return None
    ending = endings.of(part, layer.layout.stems, parameter)
    if part == "diff" and is_of_norm(site):
        ending = endings.named(_OF_NORMS[parameter])
    if ending is None or (layer.kind == "ia3" and parameter == "bias"):
        return None
    return Spelling(f".{ending.text}", ending.rearrangement, _shape(ending, layer))


def _is_plain(layer: Layer) -> bool:
    settings = layer.settings
    if layer.kind in ("oft", "boft"):
        return (
            settings.get("side", "output") == "output"
            and settings.get("cayley", "exact") == "exact"
            and settings.get("skew", 1.0) == 1.0
            and "eps" not in settings
            and not settings.get("shared", False)
            and settings.get("constraint") != 0.0
        )
    return settings.get("scale", 1.0) == 1.0


def _shape(ending: Ending, layer: Layer) -> Shape | None:
    """Return the shape of a vector that LyCORIS keeps among dimensions of 1."""
    sides = len(layer.weight) - 2
    if ending.part == MAGNITUDE:
        ones = tuple(1 for _ in range(sides))
        size = layer.shapes[MAGNITUDE][0]
        return (1, size, *ones) if layer.settings.get("axis") == "input" else (size, 1, *ones)
    return None
