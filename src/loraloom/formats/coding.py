"""Tensors by name to an adapter and back, for every codec alike."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import final

import safetensors.torch
import torch
from torch import Tensor

from loraloom.adapters.adapter import Adapter, Origin
from loraloom.adapters.delta import AbstractDelta
from loraloom.adapters.kinds import KINDS
from loraloom.adapters.site import Site
from loraloom.errors import ModelError
from loraloom.formats.codec import ALPHA, AbstractCodec
from loraloom.formats.contents import Config, Contents
from loraloom.formats.excerpt import excerpt
from loraloom.formats.hashes import kohya_hashes
from loraloom.formats.header import with_metadata
from loraloom.formats.outline import Layer, Outline
from loraloom.formats.reading import outline_of_file, understand
from loraloom.formats.table import detect


@final
@dataclass(frozen=True, kw_only=True)
class Encoded:
    """What to write: tensors and metadata by name, and a configuration where the format has one."""

    tensors: Mapping[str, Tensor]
    metadata: Mapping[str, str]
    config: Config = None


def decode(
    tensors: Mapping[str, Tensor],
    metadata: Mapping[str, str],
    config: Config = None,
    where: str = "the adapter",
) -> Adapter:
    """Return the adapter that a file holds; a file not understood whole is a `ModelError`."""
    shapes = {key: tuple(tensor.shape) for key, tensor in tensors.items()}
    contents = Contents(where=where, shapes=shapes, metadata=dict(metadata), config=config)
    codec = detect(contents)
    reading = understand(codec, contents)
    alphas = {key: tensors[key] for key in reading.alpha_keys}
    numbers = {key: float(alpha) for key, alpha in alphas.items()}
    outline = outline_of_file(codec, contents, reading, numbers)
    deltas: dict[Site, AbstractDelta] = {}
    for site, layer in outline.layers.items():
        keys = reading.keys[site]
        parts = {part: tensors[keys[part]] for part in keys if part != ALPHA}
        deltas[site] = KINDS[layer.kind].from_parts(parts, layer.alpha)
    claims = {key: reading.claims[key] for key in reading.factor_keys}
    origin = Origin(
        dialect=codec.name,
        metadata=contents.metadata,
        keys={key: (claim.site, claim.part) for key, claim in claims.items()},
        alphas=alphas,
        config=config,
    )
    return Adapter(deltas=deltas, card=outline.card, origin=origin)


def encode(codec: AbstractCodec, adapter: Adapter) -> Encoded:
    """Return what to write; in the format it was read from, exactly what was read.

    Parts that the format has no name for are a `ModelError` that lists the sites.
    """
    if adapter.origin is not None and adapter.origin.dialect == codec.name:
        return _as_read(adapter, adapter.origin)
    outline = outline_of(adapter)
    tensors: dict[str, Tensor] = {}
    nameless: list[Site] = []
    for site, delta in adapter.deltas.items():
        for part, tensor in delta.parts().items():
            key = codec.spell(outline, site, part)
            if key is None:
                nameless.append(site)
            else:
                tensors[key] = tensor
        if (key := codec.spell(outline, site, ALPHA)) is not None:
            tensors[key] = _alpha(delta)
    if nameless:
        sites = excerpt(dict.fromkeys(nameless))
        raise ModelError("format.cannot_express", format=codec.name, sites=sites)
    metadata, config = codec.header(outline)
    if codec.is_hashed:
        trainers = {key: text for key, text in metadata.items() if key.startswith("ss_")}
        metadata |= kohya_hashes(serialise(tensors, trainers))
    return Encoded(tensors=tensors, metadata=metadata, config=config)


def serialise(tensors: Mapping[str, Tensor], metadata: Mapping[str, str]) -> bytes:
    """Return a whole safetensors file; tensors may lie on any device and share memory."""
    stored = {
        key: tensor.detach().to("cpu", copy=True, memory_format=torch.contiguous_format)
        for key, tensor in tensors.items()
    }
    return with_metadata(safetensors.torch.save(stored), metadata)


def outline_of(adapter: Adapter) -> Outline:
    """Return an adapter's numbers without its tensors."""
    return Outline(
        card=adapter.card,
        layers={
            site: Layer(
                kind=delta.kind,
                rank=delta.rank,
                alpha=delta.alpha,
                weight=delta.claimed_shape,
            )
            for site, delta in adapter.deltas.items()
        },
    )


def _as_read(adapter: Adapter, origin: Origin) -> Encoded:
    tensors = {key: adapter.deltas[site].parts()[part] for key, (site, part) in origin.keys.items()}
    return Encoded(
        tensors={**tensors, **origin.alphas}, metadata=origin.metadata, config=origin.config
    )


def _alpha(delta: AbstractDelta) -> Tensor:
    """Return alpha in the number type of the factors, or in the first wider one that is exact."""
    factor = next(iter(delta.parts().values()))
    for dtype in (factor.dtype, torch.float32):
        alpha = torch.tensor(delta.alpha, dtype=dtype)
        if float(alpha) == delta.alpha:
            return alpha
    return torch.tensor(delta.alpha, dtype=torch.float64)
