"""From deltas to the tensors of a file: names found, stacked weights put together."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import final

import torch
from torch import Tensor

from loraloom.adapters.adapter import Adapter
from loraloom.adapters.delta import AbstractDelta
from loraloom.adapters.span import Place, Span
from loraloom.errors import ModelError
from loraloom.formats.approximable import remedy
from loraloom.formats.codec import AbstractCodec
from loraloom.formats.endings import ALPHA, ON_INPUT
from loraloom.formats.excerpt import excerpt
from loraloom.formats.fusing import Named, fused
from loraloom.formats.group import is_swapped, place_of
from loraloom.formats.naming.meaning import Meaning
from loraloom.formats.outline import Layer, Outline
from loraloom.formats.rearrangement import REARRANGEMENTS
from loraloom.formats.rewriting import rewritten
from loraloom.formats.rows import swapped
from loraloom.formats.table import FORMATS, WRITTEN


@final
@dataclass(frozen=True)
class Spelled:
    """The tensors of a file by name: an update's numbers, and those that tell how to read them."""

    factors: Mapping[str, Tensor]
    others: Mapping[str, Tensor]


def spelled(
    codec: AbstractCodec, adapter: Adapter, outline: Outline, dtype: torch.dtype | None
) -> Spelled:
    """Return the tensors of a file; numbers that stand alone are of `dtype` where it is exact.

    What the format cannot express is a `ModelError` whose `places` are the weights concerned:
    `format.no_way` if nothing helps, else one whose `low` are the weights that as low-rank updates
    would let it, and whose `left_out` are the biases and norms that would have to stay out.
    """
    codec.require_names(outline)
    tensors, misfits = _tensors(codec, adapter.deltas, outline, dtype)
    if misfits:
        raise _refusal(codec, adapter, outline, misfits)
    return Spelled(tensors.factors, {**tensors.others, **_words(codec, adapter)})


def _refusal(
    codec: AbstractCodec, adapter: Adapter, outline: Outline, misfits: Collection[Place]
) -> ModelError:
    """Return the error of weights that a format cannot express, with what would help."""

    def still(deltas: Mapping[Place, AbstractDelta], outline: Outline) -> Collection[Place]:
        return _tensors(codec, deltas, outline, None)[1]

    found = remedy(adapter.deltas, outline, misfits, still)
    places = found.hopeless or tuple(misfits)
    able = (n for n in WRITTEN if not _tensors(FORMATS[n], adapter.deltas, outline, None)[1])
    return ModelError(
        "format.no_way" if found.hopeless else "format.cannot_express",
        format=next((name for name, each in FORMATS.items() if each is codec), codec.name),
        sites=excerpt(places),
        places=places,
        low=found.low,
        left_out=found.left_out,
        others=", ".join(able),
    )


def _tensors(
    codec: AbstractCodec,
    deltas: Mapping[Place, AbstractDelta],
    outline: Outline,
    dtype: torch.dtype | None,
) -> tuple[Spelled, Collection[Place]]:
    """Return the tensors of what the format can express, and where it cannot."""
    naming = codec.naming(outline)
    held: dict[tuple[str, Meaning], list[Place]] = {}
    misfits = dict.fromkeys(codec.misfits(outline))
    for place in deltas:
        holder = naming(place)
        if holder is None:
            misfits[place] = None
        elif place not in misfits:
            held.setdefault((holder.name, holder.meaning), []).append(place)
    factors: dict[str, Tensor] = {}
    others: dict[str, Tensor] = {}
    for (name, meaning), places in held.items():
        named = _named(meaning, places, deltas, outline)
        named = None if named is None else rewritten(codec, place_of(meaning), named)
        own = None if named is None else _factors(codec, name, meaning, named, outline)
        if named is None or own is None:
            misfits |= dict.fromkeys(places)
        else:
            factors |= own
            others |= _numbers(codec, name, meaning, named, dtype)
    return Spelled(factors, others), misfits.keys()


def _words(codec: AbstractCodec, adapter: Adapter) -> dict[str, Tensor]:
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
    if lost:
        raise ModelError("format.no_words", format=codec.name, words=excerpt(lost))
    return tensors


def _factors(
    codec: AbstractCodec, name: str, meaning: Meaning, named: Named, outline: Outline
) -> dict[str, Tensor] | None:
    """Return the parts under one name; None if one of them has no ending."""
    tensors: dict[str, Tensor] = {}
    for part, tensor in named.parts.items():
        spelling = codec.spell(place_of(meaning), named.layer, part)
        if spelling is None:
            return None
        way = REARRANGEMENTS[spelling.rearrangement]
        if spelling.scaled:
            scale = outline.layers[place_of(meaning.of("weight"))].scale
            tensor = tensor if scale == 1 else (tensor.float() / scale).to(tensor.dtype)
        shape = tuple(tensor.shape) if spelling.shape is None else spelling.shape
        tensors[name + spelling.ending] = way.write(tensor, shape)
    return tensors


def _numbers(
    codec: AbstractCodec, name: str, meaning: Meaning, named: Named, dtype: torch.dtype | None
) -> dict[str, Tensor]:
    """Return the tensors of one number under one name, as far as the format has them."""
    dtype = dtype or next(iter(named.parts.values())).dtype
    tensors: dict[str, Tensor] = {}
    for part, number in _values(named.layer).items():
        spelling = codec.spell(place_of(meaning), named.layer, part)
        if spelling is not None:
            tensors[name + spelling.ending] = number_tensor(number, dtype)
    return tensors


def _values(layer: Layer) -> dict[str, float]:
    """Return the numbers of a delta that some formats keep in tensors."""
    values: dict[str, float] = {}
    if layer.layout.has_scale and layer.alpha is not None:
        values[ALPHA] = layer.alpha
    if layer.layout.is_bounded:
        values[ALPHA] = float(layer.settings.get("constraint", 0.0))
    if layer.kind == "ia3":
        values[ON_INPUT] = float(bool(layer.settings.get(ON_INPUT)))
    return values


def number_tensor(number: float, dtype: torch.dtype) -> Tensor:
    """Return a number in the given type, or in the first wider one that holds it exactly.

    Eight-bit types, which few programs read, are for factors alone.
    """
    for each in (torch.float16 if dtype.itemsize == 1 else dtype, torch.float32):
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
