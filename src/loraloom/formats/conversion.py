"""A file in one format made into a file in another."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Literal

import torch

from loraloom.adapters.adapter import Adapter
from loraloom.errors import ModelError
from loraloom.events import Warned
from loraloom.formats.coding import outline_of
from loraloom.formats.excerpt import excerpt
from loraloom.formats.families import is_assumed
from loraloom.formats.files import read_adapter, write_adapter
from loraloom.formats.metadata import Level
from loraloom.formats.rewriting import folded_places, rewritten_places
from loraloom.formats.split_qkv import with_trained_scale
from loraloom.formats.table import codec_named


def convert(
    source: Path,
    destination: Path,
    format: str,
    *,
    dtype: torch.dtype | None = None,
    level: Level | None = None,
    split_qkv: Literal["told", "trained"] = "told",
    on_changed_base: bool = False,
    overwrite: bool = False,
) -> tuple[Warned, ...]:
    """Convert an adapter file; return what its user should know about the source.

    Every update is the same before and after: what the format cannot express is a `ModelError`
    whose `places` are the weights concerned. `level` None keeps the metadata; `split_qkv="trained"`
    corrects the scale of files that kohya's option of that name saved.
    """
    adapter = read_adapter(source, on_changed_base=on_changed_base)
    warnings = () if adapter.origin is None else adapter.origin.warnings
    if split_qkv == "trained":
        adapter = with_trained_scale(adapter)
    write_adapter(adapter, destination, format, dtype, overwrite, level)
    where = str(source)
    family = family_warnings(adapter, format, where)
    return (*warnings, *family, *writing_warnings(adapter, format, where))


def writing_warnings(adapter: Adapter, format: str, where: str) -> tuple[Warned, ...]:
    """Return what is told of tensors that a format makes others of, though the update is equal."""
    codec = codec_named(format)
    if adapter.origin is not None and adapter.origin.dialect == codec.name:
        return ()
    outline = outline_of(adapter)
    changed = {
        "format.rewritten": rewritten_places(codec, outline),
        "format.scale_folded": folded_places(codec, outline),
    }
    details = {"where": where, "format": format}
    return tuple(
        Warned(code=code, details={**details, "count": len(places), "sites": excerpt(places)})
        for code, places in changed.items()
        if places
    )


def family_warnings(adapter: Adapter, format: str, where: str) -> tuple[Warned, ...]:
    """Warn of names that depend on a family which names alone have told."""
    codec, outline, origin = codec_named(format), outline_of(adapter), adapter.origin
    if origin is None or origin.dialect == codec.name or not is_assumed(outline, origin.metadata):
        return ()
    try:
        codec.require_names(replace(outline, card=replace(outline.card, family="")))
    except ModelError:
        family = outline.card.family
        return (Warned(code="format.family_assumed", details={"where": where, "family": family}),)
    return ()
