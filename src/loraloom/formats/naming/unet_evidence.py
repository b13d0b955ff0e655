"""A UNet's layout, told from names alone where they tell it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Annotated, Any, Final, Literal, TypeAlias, final

from pydantic import BaseModel, Field, ValidationError

from loraloom.errors import ModelError
from loraloom.formats.naming.rule import Evidence
from loraloom.formats.naming.template import Numbers
from loraloom.formats.naming.unet_layout import (
    DOWN_ATTENTION,
    DOWN_RESNET,
    DOWNSAMPLER,
    MID_ATTENTION,
    UP_ATTENTION,
    UP_RESNET,
    UPSAMPLER,
    UNetLayout,
)

_UpBlock: TypeAlias = Literal["UpBlock2D", "CrossAttnUpBlock2D"]
_HAS_ATTENTION: Final[Mapping[_UpBlock, bool]] = {"UpBlock2D": False, "CrossAttnUpBlock2D": True}
_ATTENTIONS: Final = (DOWN_ATTENTION, MID_ATTENTION, UP_ATTENTION)


@final
class _Config(BaseModel):
    """What a UNet's `config.json` tells of its layout."""

    layers_per_block: Annotated[int, Field(gt=0, strict=True)]
    up_block_types: tuple[_UpBlock, ...]


def derive_layout(evidence: Evidence, published: Sequence[UNetLayout]) -> UNetLayout:
    """Return the layout that a set of names shows; a `ModelError` if they do not tell it.

    1. A set with every resnet and sampler of some UNet is taken as all of it: a checkpoint's
       names, or an adapter's on all layers.
    2. Otherwise the first `published` layout that knows all the names: an adapter on a few blocks
       of a published model is read so. All attentions of a small UNet may look like that too; then
       its configuration has to tell.
    3. Otherwise the layout in which every block that occurs occurs with all its layers.
    """
    shown = _shown(evidence)
    fitting = [layout for layout in published if evidence.fits(layout)]
    if shown is not None and _is_whole(evidence, shown):
        return next((layout for layout in fitting if layout.layers == shown.layers), shown)
    if fitting:
        return fitting[0]
    if shown is not None and _is_throughout(evidence, shown):
        return shown
    raise ModelError("naming.unet_layout", where=evidence.where)


def configured_layout(config: Mapping[str, Any], where: str) -> UNetLayout:
    """Return the layout that a UNet's `config.json` tells; a `ModelError` if LDM has none such."""
    try:
        told = _Config.model_validate(config)
    except ValidationError as error:
        raise ModelError("naming.unet_config", where=where) from error
    attention = (at for at, block in enumerate(told.up_block_types) if _HAS_ATTENTION[block])
    return UNetLayout(told.layers_per_block, frozenset(attention))


def _shown(evidence: Evidence) -> UNetLayout | None:
    """Return the layout of the smallest UNet that has all the names."""
    layout = _of_ours(evidence) if evidence.is_ours else _of_theirs(evidence)
    return layout if layout is not None and evidence.fits(layout) else None


def _of_ours(evidence: Evidence) -> UNetLayout | None:
    down = {layer for _, layer, *_ in evidence.of(DOWN_RESNET, DOWN_ATTENTION)}
    up = {layer for _, layer, *_ in evidence.of(UP_RESNET, UP_ATTENTION)}
    if evidence.of(UPSAMPLER) and not evidence.of(*_ATTENTIONS):
        return None  # which blocks have attention is not shown, and upsamplers are counted by it
    layers = max(down) + 1 if down else max(up, default=0)
    return UNetLayout(layers, _firsts(evidence.of(UP_ATTENTION))) if layers else None


def _of_theirs(evidence: Evidence) -> UNetLayout | None:
    entries = _firsts(evidence.of(DOWN_RESNET, DOWN_ATTENTION))
    if not entries:
        return None
    layers = 1  # a block's layers have consecutive entries, and between two blocks one is left out
    first = min(entries)
    while first + layers in entries:
        layers += 1
    upsamplers = (numbers for numbers in evidence.of(UPSAMPLER) if numbers[1] == 2)
    attention = _firsts({*evidence.of(UP_ATTENTION), *upsamplers})
    return UNetLayout(layers, frozenset(entry // (layers + 1) for entry in attention))


def _is_whole(evidence: Evidence, layout: UNetLayout) -> bool:
    """Whether there is every resnet and sampler of a UNet."""
    down, up = (_counted(evidence, layout, zone) for zone in (DOWN_RESNET, UP_RESNET))
    blocks = range(max(_firsts(down), default=-1) + 1)
    within = {(block,) for block in blocks[:-1]}
    return (
        bool(blocks)
        and down == {(block, layer) for block in blocks for layer in range(layout.layers)}
        and up == {(block, layer) for block in blocks for layer in range(layout.layers + 1)}
        and _counted(evidence, layout, DOWNSAMPLER) == within
        and _counted(evidence, layout, UPSAMPLER) == within
    )


def _is_throughout(evidence: Evidence, layout: UNetLayout) -> bool:
    """Whether each block that occurs occurs with all its layers."""
    down = _counted(evidence, layout, DOWN_RESNET, DOWN_ATTENTION)
    up = _counted(evidence, layout, UP_RESNET, UP_ATTENTION)
    return down == {
        (block, layer) for block in _firsts(down) for layer in range(layout.layers)
    } and up == {(block, layer) for block in _firsts(up) for layer in range(layout.layers + 1)}


def _counted(evidence: Evidence, layout: UNetLayout, *zones: str) -> set[Numbers]:
    """Return the blocks and layers in some zones, as we count them."""
    found: set[Numbers] = set()
    for zone in zones:
        for numbers in evidence.of(zone):
            ours = numbers if evidence.is_ours else layout.ours(zone, numbers)
            found |= set() if ours is None else {ours[:2]}
    return found


def _firsts(found: Iterable[Numbers]) -> frozenset[int]:
    return frozenset(numbers[0] for numbers in found)
