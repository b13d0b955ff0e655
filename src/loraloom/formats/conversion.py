"""A file in one format made into a file in another."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import torch

from loraloom.events import Warned
from loraloom.formats.files import read_adapter, write_adapter
from loraloom.formats.metadata import Level
from loraloom.formats.split_qkv import with_trained_scale


def convert(
    source: Path,
    destination: Path,
    format: str,
    *,
    dtype: torch.dtype | None = None,
    level: Level | None = None,
    split_qkv: Literal["literal", "trained"] = "literal",
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
    return warnings
