"""LoKr in PEFT's configurations, which tell the sizes of the factors by a rule of their own."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from loraloom.adapters.span import Place
from loraloom.formats.outline import Layer
from loraloom.formats.peft_scales import pattern_fields
from loraloom.formats.rearrangement import Shape

Layers = Mapping[Place, Layer]
_Sizes = tuple[int, int, int, int]


def lokr_factor(layers: Layers) -> int | None:
    """Return the `decompose_factor` under which PEFT makes factors of these sizes; None if none."""
    sizes = [_sizes(layer.shapes) for layer in layers.values()]
    for factor in dict.fromkeys((-1, *(size for own in sizes for size in own[:2]))):
        if all(
            _factorization(a * b, factor) == (a, b) and _factorization(c * d, factor) == (c, d)
            for a, c, b, d in sizes
        ):
            return factor
    return None


def lokr_is_made_so(layer: Layer, layers: Layers) -> bool:
    """Whether PEFT would make these factors whole or in parts, given what it is told of all.

    It decides by the rank: a factor is in parts where the rank is below half its larger side.
    """
    if lokr_factor(layers) is None:
        return False
    a, c, b, d = _sizes(layer.shapes)
    both = any("w1_a" in each.shapes for each in layers.values())
    rank = layer.rank
    if rank is None:
        return True
    first, second = both and rank < max(a, c) / 2, rank < max(b, d) / 2
    return ("w1_a" in layer.shapes, "w2_a" in layer.shapes) == (first, second)


def lokr_fields(layers: Layers) -> dict[str, Any]:
    """Return the fields of a `LoKrConfig`, the inverse of `lokr_told`."""
    both = any("w1_a" in layer.shapes for layer in layers.values())
    numbers: dict[Place, tuple[float, int]] = {}
    for place, layer in layers.items():
        if layer.rank is None:
            rank = _smallest_whole(_sizes(layer.shapes))
            numbers[place] = (float(layer.settings.get("scale", 1.0)) * rank, rank)
        else:
            numbers[place] = (layer.told_alpha, layer.rank)
    return pattern_fields(numbers, "alpha") | {
        "decompose_factor": lokr_factor(layers),
        "decompose_both": both,
        "use_effective_conv2d": any("t2" in layer.shapes for layer in layers.values()),
    }


def _sizes(shapes: Mapping[str, Shape]) -> _Sizes:
    """Return the sizes (a, c) of w1 and (b, d) of w2, without kernel, as a, c, b, d."""
    a, c = shapes["w1"][:2] if "w1" in shapes else (shapes["w1_a"][0], shapes["w1_b"][1])
    if "w2" in shapes:
        b, d = shapes["w2"][:2]
    elif "t2" in shapes:
        b, d = shapes["w2_a"][1], shapes["w2_b"][1]
    else:
        b, d = shapes["w2_a"][0], shapes["w2_b"][1]
    return a, c, b, d


def _smallest_whole(sizes: _Sizes) -> int:
    """Return the smallest rank from which PEFT leaves both factors whole."""
    return math.ceil(max(sizes) / 2)


def _factorization(dimension: int, factor: int) -> tuple[int, int]:
    """Return two numbers whose product is `dimension`, as PEFT chooses them.

    Unlike LyCORIS it does not put the smaller one first where `factor` divides the dimension.
    Source: huggingface/peft, tuners/lokr/layer.py, `factorization`.
    """
    if factor > 0 and dimension % factor == 0:
        return factor, dimension // factor
    limit = dimension if factor == -1 else factor
    small, large = 1, dimension
    for candidate in range(2, math.isqrt(dimension) + 1):
        if dimension % candidate:
            continue
        if candidate + dimension // candidate > small + large or candidate > limit:
            break
        small, large = candidate, dimension // candidate
    return small, large
