"""What would let a format express an adapter that it cannot express as it is."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import TypeAlias, final

import torch

from loraloom.adapters.delta import AbstractDelta
from loraloom.adapters.lora import Lora
from loraloom.adapters.site import Site
from loraloom.adapters.span import Place
from loraloom.formats.outline import Layer, Outline
from loraloom.formats.vectors import vector_of

Deltas: TypeAlias = Mapping[Place, AbstractDelta]


@final
@dataclass(frozen=True, kw_only=True)
class Remedy:
    """Weights to be made LoRAs, and biases and norms to be left out, so that the rest goes in.

    `hopeless` are those of the misfits that neither would help, and then the others are empty.
    """

    low: tuple[Place, ...] = ()
    left_out: tuple[Place, ...] = ()
    hopeless: tuple[Place, ...] = ()


def remedy(
    deltas: Deltas,
    outline: Outline,
    misfits: Collection[Place],
    still: Callable[[Deltas, Outline], Collection[Place]],
) -> Remedy:
    """Return the least that helps; `still` tells what of a changed adapter has no place yet.

    First low-rank updates alone, at the misfits, or at all that is no LoRA in their networks: a
    format may have one kind for each. Then the same with biases and norms left out.
    """
    vectors = tuple(place for place in misfits if vector_of(place) is not None)
    odd: Collection[Place] = misfits
    for left_out in dict.fromkeys(((), vectors)):
        kept = {place: delta for place, delta in deltas.items() if place not in left_out}
        layers = {place: outline.layers[place] for place in kept}
        if not kept:
            continue
        for low in _choices(layers, misfits, alone=bool(left_out)):
            odd = _still(kept, replace(outline, layers=layers), low, still)
            if not odd:
                return Remedy(low=low, left_out=left_out)
    lost = [place for place in misfits if not {place, *place.sites}.isdisjoint(odd)]
    return Remedy(hopeless=tuple(lost or misfits))


def _choices(
    layers: Mapping[Place, Layer], misfits: Collection[Place], *, alone: bool
) -> Iterator[tuple[Place, ...]]:
    """Yield sets of weights to be made LoRAs, the smallest first; the empty one if `alone`."""
    able = [place for place, layer in layers.items() if _may_be_low(place, layer)]
    networks = {place.part for place in misfits}
    choices = [
        tuple(place for place in able if place in misfits),
        tuple(place for place in able if place.part in networks),
    ]
    yield from dict.fromkeys(each for each in ((), *choices) if each or alone)


def _may_be_low(place: Place, layer: Layer) -> bool:
    """Whether a LoRA could do nearly the same, and is none yet of one weight."""
    return len(layer.weight) > 1 and not (isinstance(place, Site) and layer.kind == "lora")


def _still(
    deltas: Deltas,
    outline: Outline,
    low: Collection[Place],
    still: Callable[[Deltas, Outline], Collection[Place]],
) -> Collection[Place]:
    layers = {place: layer for place, layer in outline.layers.items() if place not in low}
    changed = {place: delta for place, delta in deltas.items() if place not in low}
    for place in low:
        rows = (None,) if isinstance(place, Site) else place.rows
        for site, count in zip(place.sites, rows, strict=True):
            weight = outline.layers[place].weight
            changed[site] = delta = _low_rank((count or weight[0], *weight[1:]))
            layers[site] = Layer(
                kind=delta.kind,
                rank=delta.rank,
                alpha=delta.alpha,
                weight=delta.claimed_shape,
                shapes={name: tuple(part.shape) for name, part in delta.parts().items()},
            )
    return still(changed, replace(outline, layers=layers))


def _low_rank(weight: tuple[int | None, ...]) -> Lora:
    """Return a LoRA of rank 1 for a weight, with 1 for the sides that are not known."""
    rows, *columns = (side or 1 for side in weight)
    ones = (1 for _ in columns[1:])
    return Lora(torch.zeros(1, *columns), torch.zeros(rows, 1, *ones), 1.0)
