"""Tensors by name to an adapter and back, for every codec alike."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, final

import torch
from torch import Tensor

from loraloom.adapters.adapter import Adapter, Origin
from loraloom.adapters.delta import AbstractDelta
from loraloom.adapters.eight_bits import computable
from loraloom.adapters.kinds import KINDS
from loraloom.adapters.span import Place
from loraloom.errors import ModelError
from loraloom.events import Warned
from loraloom.formats.card import KEY
from loraloom.formats.codec import AbstractCodec
from loraloom.formats.contents import Config, Contents
from loraloom.formats.excerpt import excerpt
from loraloom.formats.group import Group, place_of
from loraloom.formats.hashes import kohya_hashes
from loraloom.formats.metadata import Level, configuration, metadata_of
from loraloom.formats.outline import Layer, Outline
from loraloom.formats.reading import Reading, outline_of_file, understand
from loraloom.formats.rearrangement import REARRANGEMENTS
from loraloom.formats.rows import blocks, split, swapped, unblocked
from loraloom.formats.table import recognise
from loraloom.formats.tensor_file import TensorFile
from loraloom.formats.writing import spelled

BLOCK_SPARSE: Final = "format.block_sparse"
"""The warning about updates that lie in blocks of one, perhaps at an alpha meant for each."""


@final
@dataclass(frozen=True, kw_only=True)
class Encoded:
    """What to write: tensors and metadata by name, and a configuration where the format has one.

    `casts` are number types that tensors are to be brought into on their way to the disk.
    """

    tensors: Mapping[str, Tensor]
    metadata: Mapping[str, str]
    config: Config = None
    casts: Mapping[str, torch.dtype] = field(default_factory=dict[str, torch.dtype])


def decode(
    tensors: Mapping[str, Tensor],
    metadata: Mapping[str, str],
    config: Config = None,
    where: str = "the adapter",
    *,
    on_changed_base: bool = False,
    family: str = "",
) -> Adapter:
    """Return the adapter that a file holds; a file not understood whole is a `ModelError`.

    `family` is the one that was stated, "" if the file is to tell.
    """
    shapes = {key: tuple(tensor.shape) for key, tensor in tensors.items()}
    contents = Contents(
        where=where,
        shapes=shapes,
        metadata=dict(metadata),
        config=config,
        on_changed_base=on_changed_base,
        family=family,
    )
    recognised = recognise(contents)
    codec = recognised.codec
    reading = understand(codec, contents, recognised.claims)
    literals = {key: tensors[key] for key in (*reading.number_keys, *reading.copies)}
    numbers = {key: literals[key] for key in reading.number_keys}
    understood = outline_of_file(codec, contents, reading, _values(numbers))
    outline = understood.outline
    deltas: dict[Place, AbstractDelta] = {}
    warnings = list(understood.warnings)
    blocked: list[Group] = []
    for group in understood.groups:
        parts = {part: _part(group, part, tensors, outline, where) for part in group.shapes}
        for part, key in group.keys.items():
            if part in group.shapes and not _is_exact(group, part):
                literals[key] = tensors[key]
        made = _deltas(group, parts, outline)
        deltas |= made
        if group.is_split and {delta.rank for delta in made.values()} != {group.rank}:
            blocked.append(group)
    # Our own files have such blocks too, with the alpha of all of them.
    if blocked and KEY not in metadata:
        details = {
            "where": where,
            "sites": excerpt([group.name for group in blocked]),
            "blocks": {place: len(group.places) for group in blocked for place in group.places},
        }
        warnings.append(Warned(code=BLOCK_SPARSE, details=details))
    origin = Origin(
        dialect=codec.name,
        metadata=contents.metadata,
        shapes=shapes,
        literals=literals,
        config=config,
        warnings=tuple(warnings),
    )
    return Adapter(
        deltas=deltas, card=outline.card, origin=origin, embeddings=_embeddings(reading, tensors)
    )


def encode(
    codec: AbstractCodec,
    adapter: Adapter,
    level: Level | None = None,
    dtype: torch.dtype | None = None,
) -> Encoded:
    """Return what to write; in the format it was read from, exactly what was read.

    `level` None is verbatim for an adapter that was read from a file, else full; `dtype` is the
    number type of the factors, None their own. Parts that the format cannot express are a
    `ModelError` that lists the weights.
    """
    if dtype is not None and all(part.dtype == dtype for part in _every_part(adapter)):
        dtype = None
    origin = adapter.origin
    level = level or (Level.FULL if origin is None else Level.VERBATIM)
    is_kept = dtype is None and level is Level.VERBATIM
    if origin is not None and origin.dialect == codec.name and is_kept:
        return _as_read(codec, adapter, origin)
    outline = outline_of(adapter)
    named = spelled(codec, adapter, outline, dtype)
    tensors = {**named.factors, **named.others}
    casts = {} if dtype is None else dict.fromkeys(named.factors, dtype)
    verbatim: Mapping[str, str] = {} if origin is None else origin.metadata
    metadata = metadata_of(codec, outline, level, verbatim)
    if codec.is_hashed and level is not Level.NONE:
        trainers = {key: text for key, text in metadata.items() if key.startswith("ss_")}
        file = TensorFile(tensors, trainers, casts)
        metadata |= kohya_hashes(file.header, file.data)
    return Encoded(
        tensors=tensors, metadata=metadata, config=configuration(codec, outline), casts=casts
    )


def outline_of(adapter: Adapter) -> Outline:
    """Return an adapter's numbers without its tensors."""
    return Outline(
        card=adapter.card,
        layers={
            place: Layer(
                kind=delta.kind,
                rank=delta.rank,
                alpha=delta.alpha,
                weight=delta.claimed_shape,
                shapes={name: tuple(part.shape) for name, part in delta.parts().items()},
                settings=delta.settings,
            )
            for place, delta in adapter.deltas.items()
        },
    )


def _every_part(adapter: Adapter) -> Iterator[Tensor]:
    return (part for delta in adapter.deltas.values() for part in delta.parts().values())


def _values(numbers: Mapping[str, Tensor]) -> dict[str, float]:
    return {key: float(tensor) for key, tensor in numbers.items()}


def _part(
    group: Group, part: str, tensors: Mapping[str, Tensor], outline: Outline, where: str
) -> Tensor:
    """Return a part of a group's delta as its kind has it."""
    ending = group.endings[part]
    tensor = REARRANGEMENTS[ending.rearrangement].read(tensors[group.keys[part]])
    if not ending.scaled:
        return tensor
    weights = group.meaning.of("weight")
    owners = (outline.layers.get(place) for place in (place_of(weights), *weights.sites))
    owner = next((layer for layer in owners if layer is not None), None)
    if owner is None:
        parts = ", ".join(group.keys)
        raise ModelError("format.parts", where=where, site=group.name, parts=parts)
    return tensor if owner.scale == 1 else computable(tensor) * owner.scale


def _is_exact(group: Group, part: str) -> bool:
    """Whether a part gives the file's tensor again bit for bit."""
    ending = group.endings[part]
    return REARRANGEMENTS[ending.rearrangement].is_exact and not ending.scaled


def _deltas(
    group: Group, parts: Mapping[str, Tensor], outline: Outline
) -> dict[Place, AbstractDelta]:
    """Return the delta of each weight; of blocks, each with its own factors alone."""
    parts = swapped(parts, group.swapped_axes)
    layers = [outline.layers[place] for place in group.places]
    kind = KINDS[group.layout.kind]
    if not group.is_split:
        (layer,) = layers
        return {group.places[0]: kind.from_parts(parts, layer.alpha, layer.settings)}
    rows = group.counts
    pieces = split(parts, group.row_axes or {}, rows)
    alphas = [layer.alpha for layer in layers]
    blocks = unblocked(parts["down"], parts["up"], rows) if group.is_low_rank else None
    if blocks is not None:
        downs, ups = blocks
        own = zip(pieces, downs, ups, strict=True)
        pieces = [{**piece, "down": down, "up": up} for piece, down, up in own]
        alphas = [layer.scale * down.shape[0] for layer, down in zip(layers, downs, strict=True)]
    return {
        place: kind.from_parts(piece, alpha, layer.settings)
        for place, piece, alpha, layer in zip(group.places, pieces, alphas, layers, strict=True)
    }


def _embeddings(reading: Reading, tensors: Mapping[str, Tensor]) -> dict[str, dict[str, Tensor]]:
    words: dict[str, dict[str, Tensor]] = {}
    for key, word in reading.words.items():
        way = REARRANGEMENTS[word.rearrangement]
        words.setdefault(word.name, {})[word.part] = way.read(tensors[key])
    return words


def _as_read(codec: AbstractCodec, adapter: Adapter, origin: Origin) -> Encoded:
    """Return exactly what was read: every part of every delta goes back to its own tensor."""
    contents = Contents(
        where=codec.name,
        shapes=origin.shapes,
        metadata=origin.metadata,
        config=origin.config,
        on_changed_base=True,
    )
    reading = understand(codec, contents)
    numbers = {key: origin.literals[key] for key in reading.number_keys}
    tensors = dict(origin.literals)
    for group in outline_of_file(codec, contents, reading, _values(numbers)).groups:
        parts = _joined(group, [adapter.deltas[place].parts() for place in group.places])
        for part, tensor in swapped(parts, group.swapped_axes).items():
            key, way = group.keys[part], REARRANGEMENTS[group.endings[part].rearrangement]
            if key not in origin.literals:
                tensors[key] = way.write(tensor, origin.shapes[key])
    for key, word in reading.words.items():
        tensor = adapter.embeddings[word.name][word.part]
        tensors[key] = REARRANGEMENTS[word.rearrangement].write(tensor, origin.shapes[key])
    return Encoded(tensors=tensors, metadata=origin.metadata, config=origin.config)


def _joined(group: Group, pieces: Sequence[Mapping[str, Tensor]]) -> Mapping[str, Tensor]:
    """Return the parts of the one delta that a group was before it was split."""
    if not group.is_split:
        return pieces[0]
    axes = dict(group.row_axes or {})
    joined = dict(pieces[0])
    if group.is_low_rank and sum(piece["down"].shape[0] for piece in pieces) == group.rank:
        del axes["up"]
        downs, ups = ([piece[name] for piece in pieces] for name in ("down", "up"))
        joined["down"], joined["up"] = blocks(downs, ups)
    for name, axis in axes.items():
        joined[name] = torch.cat([piece[name] for piece in pieces], axis)
    return joined
