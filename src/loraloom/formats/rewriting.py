"""Updates that a format has other tensors for: the same update, factor by factor another form."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

import torch
from torch import Tensor

from loraloom.adapters.lora import without_middle
from loraloom.adapters.span import Place
from loraloom.formats.codec import AbstractCodec
from loraloom.formats.fusing import Named
from loraloom.formats.outline import Layer, Outline

_MIDDLE: Final = "mid"


def rewritten_places(codec: AbstractCodec, outline: Outline) -> tuple[Place, ...]:
    """Return where a format lacks LoCon's middle factor, which then goes into the first one."""
    return tuple(
        place for place, layer in outline.layers.items() if _lacks_middle(codec, place, layer)
    )


def folded_places(codec: AbstractCodec, outline: Outline) -> tuple[Place, ...]:
    """Return where a scale that the format has no place for goes into a Kronecker factor."""
    return tuple(place for place, layer in outline.layers.items() if _lacks_scale(codec, layer))


def rewritten(codec: AbstractCodec, place: Place, named: Named) -> Named:
    """Return parts that the format has words for, where the same update can be told by them.

    A factor keeps its number type where that holds the product exactly, else it is float32 at
    least.
    """
    if _lacks_middle(codec, place, named.layer):
        named = _without_middle(named)
    return _folded(named) if _lacks_scale(codec, named.layer) else named


def _without_middle(named: Named) -> Named:
    parts = without_middle(named.parts)
    sides = (*named.parts["down"].shape[:2], *named.parts[_MIDDLE].shape[2:])
    down = _narrowed(parts["down"].reshape(sides), named.parts["down"].dtype)
    parts = {**parts, "down": down.contiguous()}
    shapes = {name: tuple(tensor.shape) for name, tensor in parts.items()}
    return Named(parts, replace(named.layer, shapes=shapes))


def _folded(named: Named) -> Named:
    first, scale = named.parts["w1"], float(named.layer.settings["scale"])
    product = _narrowed(first.double() * scale, first.dtype)
    product = _narrowed(product, torch.float32)
    settings = {name: value for name, value in named.layer.settings.items() if name != "scale"}
    return Named({**named.parts, "w1": product}, replace(named.layer, settings=settings))


def _lacks_scale(codec: AbstractCodec, layer: Layer) -> bool:
    folds = "w1" in layer.shapes and layer.settings.get("scale", 1.0) != 1.0
    return folds and not codec.keeps_scale


def _lacks_middle(codec: AbstractCodec, place: Place, layer: Layer) -> bool:
    return _MIDDLE in layer.shapes and codec.spell(place, layer, _MIDDLE) is None


def _narrowed(product: Tensor, dtype: torch.dtype) -> Tensor:
    narrow = product.to(dtype)
    if torch.equal(narrow.to(product.dtype), product):
        return narrow
    return product.to(torch.promote_types(dtype, torch.float32))
