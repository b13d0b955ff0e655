"""Adapter files as the jobs on them open and write them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Final

import torch

from loraloom.adapters.adapter import Adapter
from loraloom.composing.fit import Composition
from loraloom.events import Measured, Warned
from loraloom.formats.excerpt import excerpt
from loraloom.formats.files import write_adapter
from loraloom.formats.metadata import Level
from loraloom.jobs.lora.rounding import rounding_of
from loraloom.jobs.lora.shared_options import FileOptions

_DTYPES: Final = MappingProxyType(
    {"fp32": torch.float32, "fp16": torch.float16, "bf16": torch.bfloat16}
)

_OF_ALL: Final = ("energy_of_all", "error")
_OF_KNOWN: Final = ("energy_of_known", "error_of_known")
"""What energy and error are called where only a base would tell the size of some changes."""


def write(adapter: Adapter, path: Path, format: str, options: FileOptions) -> Iterator[Warned]:
    """Write an adapter as its options say; yield what its number type has lost.

    See `write_adapter`.
    """
    dtype = None if options.dtype is None else _DTYPES[options.dtype]
    level = None if options.metadata is None else Level(options.metadata)
    write_adapter(adapter, path, format, dtype, options.force, level)
    if dtype is not None:
        yield from rounding_of(adapter, dtype)


def warnings_of(adapters: Mapping[str, Adapter]) -> Iterator[Warned]:
    """Yield what users of the files should know about them."""
    for adapter in adapters.values():
        if adapter.origin is not None:
            yield from adapter.origin.warnings


def measures_of(composition: Composition) -> Iterator[Measured | Warned]:
    """Yield energy kept and relative error at each weight that was cut or thinned, then of all.

    All is what was asked for: exact weights too, and what was left out, as far as norms are known.
    Before them, a warning names the weights of which nothing is left.
    """
    cut = [fit for fit in composition.fits if fit.norm is not None]
    gone = [fit.place for fit in cut if fit.is_zero]
    if gone:
        details = {"count": len(gone), "total": len(composition.fits), "sites": excerpt(gone)}
        yield Warned(code="lora.nothing_left", details=details)
    for fit in cut:
        detail = {"rank": fit.rank, "error": fit.error, "norm": fit.norm}
        yield Measured(name=f"energy {fit.place}", value=fit.energy, detail=detail)
        yield Measured(name=f"error_at {fit.place}", value=fit.error)
    if cut:
        energy, error = _OF_ALL if composition.is_measured else _OF_KNOWN
        yield Measured(name=energy, value=composition.energy)
        yield Measured(name=error, value=composition.error)
