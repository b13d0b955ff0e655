"""From deltas to the tensors of a file: names found, stacked weights put together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from loraloom.adapters.adapter import Adapter
from loraloom.adapters.delta import AbstractDelta
from loraloom.adapters.span import Place, Span
from loraloom.errors import ModelError
from loraloom.formats.codec import AbstractCodec
from loraloom.formats.endings import ALPHA, ON_INPUT
from loraloom.formats.excerpt import excerpt
from loraloom.formats.fusing import Named, fused
from loraloom.formats.group import is_swapped, place_of
from loraloom.formats.naming.meaning import Meaning
from loraloom.formats.outline import Layer, Outline
from loraloom.formats.rearrangement import REARRANGEMENTS
from loraloom.formats.rows import swapped


def spelled(codec: AbstractCodec, adapter: Adapter, outline: Outline) -> dict[str, Tensor]:
    """Return the tensors of a file by name.

    What the format has no name for is a `ModelError` whose `places` are the weights concerned.
    """
    naming = codec.naming(outline)
    held: dict[tuple[str, Meaning], list[Place]] = {}
    misfits = dict.fromkeys(codec.misfits(outline))
    for place in adapter.deltas:
        holder = naming(place)
        if holder is None:
            misfits[place] = None
        elif place not in misfits:
            held.setdefault((holder.name, holder.meaning), []).append(place)
    tensors: dict[str, Tensor] = {}
    for (name, meaning), places in held.items():
        named = _named(meaning, places, adapter.deltas, outline)
        own = None if named is None else _tensors(codec, name, meaning, named)
        if own is None:
            misfits |= dict.fromkeys(places)
        else:
            tensors |= own
    words, lost = _words(codec, adapter)
    if misfits or lost:
        raise ModelError(
            "format.cannot_express",
            format=codec.name,
            sites=excerpt([*misfits, *lost]),
            places=tuple(misfits),
        )
    return tensors | words


def _words(codec: AbstractCodec, adapter: Adapter) -> tuple[dict[str, Tensor], list[str]]:
    tensors: dict[str, Tensor] = {}
    lost: list[str] = []
    for word, parts in adapter.embeddings.items():
        for part, tensor in parts.items():
            spelling = codec.spell_word(word, part)
            if spelling is None:
                lost.append(f"{word}.{part}")
            else:
                way = REARRANGEMENTS[spelling.rearrangement]
                tensors[spelling.ending] = way.write(tensor, spelling.shape or tuple(tensor.shape))
    return tensors, lost


def _tensors(
    codec: AbstractCodec, name: str, meaning: Meaning, named: Named
) -> dict[str, Tensor] | None:
    """Return the tensors under one name; None if one of the parts has no ending."""
    place, layer = place_of(meaning), named.layer
    tensors: dict[str, Tensor] = {}
    for part, tensor in named.parts.items():
        spelling = codec.spell(place, layer, part)
        if spelling is None:
            return None
        way = REARRANGEMENTS[spelling.rearrangement]
        shape = tuple(tensor.shape) if spelling.shape is None else spelling.shape
        tensors[name + spelling.ending] = way.write(tensor, shape)
    for part, number in _numbers(layer).items():
        spelling = codec.spell(place, layer, part)
        if spelling is not None:
            dtype = next(iter(named.parts.values())).dtype
            tensors[name + spelling.ending] = number_tensor(number, dtype)
    return tensors


def _numbers(layer: Layer) -> dict[str, float]:
    """Return the numbers of a delta that some formats keep in tensors."""
    numbers: dict[str, float] = {}
    if layer.layout.has_scale and layer.alpha is not None:
        numbers[ALPHA] = layer.alpha
    if layer.layout.is_bounded:
        numbers[ALPHA] = float(layer.settings.get("constraint", 0.0))
    if layer.kind == "ia3":
        numbers[ON_INPUT] = float(bool(layer.settings.get(ON_INPUT)))
    return numbers


def number_tensor(number: float, dtype: torch.dtype) -> Tensor:
    """Return a number in the given type, or in the first wider one that holds it exactly."""
    for each in (dtype, torch.float32):
        tensor = torch.tensor(number, dtype=each)
        if float(tensor) == number:
            return tensor
    return torch.tensor(number, dtype=torch.float64)


def _named(
    meaning: Meaning,
    places: Sequence[Place],
    deltas: Mapping[Place, AbstractDelta],
    outline: Outline,
) -> Named | None:
    """Return what the name of some weights is to hold; None if one delta cannot do for all."""
    if len(places) == 1 and places[0].sites == meaning.sites:
        named = Named(deltas[places[0]].parts(), outline.layers[places[0]])
    else:
        found = fused(meaning, deltas, outline)
        if found is None or any(isinstance(place, Span) for place in places):
            return None
        named = found
    rows, columns = (*named.layer.weight, None)[:2]
    swap = is_swapped(meaning, rows, columns)
    if not swap:
        return None if swap is None else named
    axes = named.layer.layout.halved(named.layer.shapes, named.layer.settings)
    return Named(swapped(named.parts, axes), named.layer) if axes else None
