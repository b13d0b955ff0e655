"""Deltas of weights that a file stacks by rows, made into one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import final

import torch
from torch import Tensor

from loraloom.adapters.delta import AbstractDelta
from loraloom.adapters.eight_bits import computable
from loraloom.adapters.site import Site
from loraloom.adapters.span import Place
from loraloom.formats.layout import MAGNITUDE
from loraloom.formats.naming.meaning import Meaning, Rows
from loraloom.formats.naming.table import FAMILIES
from loraloom.formats.outline import Layer, Outline
from loraloom.formats.rows import Parts, blocks, stacked


@final
@dataclass(frozen=True)
class Named:
    """What one name of a module is to hold."""

    parts: Parts
    layer: Layer


def fused(
    meaning: Meaning, deltas: Mapping[Place, AbstractDelta], outline: Outline
) -> Named | None:
    """Return one delta that does to the stacked weight what `deltas` do to each; None if none can.

    Deltas that share all but their rows are put together as they are. Low-rank ones are otherwise
    put into blocks, at the sum of their ranks; weights without a delta get zeros there.
    """
    layers = [outline.layers[site] for site in meaning.sites if site in outline.layers]
    first = layers[0]
    axes = first.layout.rows(first.shapes, first.settings)
    alike = all((each.kind, each.settings) == (first.kind, first.settings) for each in layers)
    if axes is None or not alike or any(each.weight[1:] != first.weight[1:] for each in layers):
        return None
    pieces = [deltas[site].parts() for site in meaning.sites if site in deltas]
    complete = len(pieces) == len(meaning.sites)
    scales = {(each.alpha, each.rank) for each in layers}
    parts = stacked(pieces, axes) if complete and len(scales) == 1 else None
    if parts is not None:
        return Named(parts, _layer(first, parts, first.alpha))
    if first.kind == "full":
        return _filled(meaning, deltas, outline)
    if first.kind == "lora" or (first.kind == "dora" and complete):
        return _blocked(meaning, deltas, outline)
    return None


def _filled(
    meaning: Meaning, deltas: Mapping[Place, AbstractDelta], outline: Outline
) -> Named | None:
    """Return full differences stacked, zero where a weight has none."""
    rows = _rows(meaning, outline)
    if rows is None:
        return None
    first = next(deltas[site] for site in meaning.sites if site in deltas).parts()["diff"]
    diffs = [
        deltas[site].parts()["diff"] if site in deltas else first.new_zeros(count, *first.shape[1:])
        for site, count in zip(meaning.sites, rows, strict=True)
    ]
    parts = {"diff": torch.cat(diffs)}
    return Named(parts, _layer(_first(meaning, outline), parts, None))


def _blocked(
    meaning: Meaning, deltas: Mapping[Place, AbstractDelta], outline: Outline
) -> Named | None:
    """Return low-rank factors in blocks. Different scales are brought to one in the ups."""
    rows = _rows(meaning, outline)
    layers = {site: outline.layers[site] for site in meaning.sites if site in outline.layers}
    if rows is None or any("mid" in layer.shapes for layer in layers.values()):
        return None
    common = max((layer.scale for layer in layers.values()), key=abs)
    first = deltas[next(iter(layers))].parts()
    downs: list[Tensor] = []
    ups: list[Tensor] = []
    for site, count in zip(meaning.sites, rows, strict=True):
        if site in layers:
            own, share = deltas[site].parts(), _share(layers[site].scale, common)
            downs.append(own["down"])
            ups.append(own["up"] if share == 1 else computable(own["up"]) * share)
        else:
            downs.append(first["down"][:0])
            ups.append(first["up"].new_zeros(count, 0, *first["up"].shape[2:]))
    if len({up.dtype for up in ups}) > 1:
        ups = [computable(up) for up in ups]
    down, up = blocks(downs, ups)
    parts = {"down": down, "up": up}
    if MAGNITUDE in first:
        parts[MAGNITUDE] = torch.cat([deltas[s].parts()[MAGNITUDE].reshape(-1) for s in layers])
    return Named(parts, _layer(_first(meaning, outline), parts, common * down.shape[0]))


def _share(scale: float, common: float) -> float:
    return 1.0 if scale == common else scale / common


def _rows(meaning: Meaning, outline: Outline) -> Sequence[int] | None:
    """Return the rows of each weight, counted or told by the others; None if they are not.

    Where those of another height are missing, they are as in the published models of the family.
    """
    known = {
        index: outline.layers[site].weight
        for index, site in enumerate(meaning.sites)
        if site in outline.layers
    }
    last = len(meaning.sites) - 1
    equal = last + 1 if meaning.rows is Rows.EQUALLY else last
    counts: list[int] = []
    for index in range(last + 1):
        if index in known:
            count = known[index][0]
        elif index >= equal:
            count = _published_rows(meaning.sites[index], meaning, outline)
        else:
            weight = next(iter(known.values()))
            count = weight[0] if meaning.rows is Rows.EQUALLY else weight[1]
        if count is None:
            return None
        counts.append(count)
    columns = next(iter(known.values()))[1:2]
    whole = meaning.rows.counts(len(counts), sum(counts), (*columns, None)[0] or -1)
    return counts if whole == tuple(counts) else None


def _published_rows(site: Site, meaning: Meaning, outline: Outline) -> int | None:
    family = FAMILIES.get(outline.card.family)
    network = None if family is None else family.network(site.part)
    layers = {each: outline.layers[each].weight for each in meaning.sites if each in outline.layers}
    return None if network is None else network.published_rows(site, layers)


def _first(meaning: Meaning, outline: Outline) -> Layer:
    return next(outline.layers[site] for site in meaning.sites if site in outline.layers)


def _layer(like: Layer, parts: Parts, alpha: float | None) -> Layer:
    shapes = {name: tuple(tensor.shape) for name, tensor in parts.items()}
    return Layer(
        kind=like.kind,
        rank=like.layout.rank(shapes),
        alpha=alpha,
        weight=like.layout.weight(shapes, like.settings),
        shapes=shapes,
        settings=like.settings,
    )
