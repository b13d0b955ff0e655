"""Adapter files as the jobs on them open and write them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Final

import torch

from loraloom.adapters.adapter import Adapter
from loraloom.composing.fit import Composition
from loraloom.errors import OutputError
from loraloom.events import Measured, Warned
from loraloom.formats.files import write_adapter
from loraloom.formats.metadata import Level
from loraloom.jobs.lora.shared_options import FileOptions

_DTYPES: Final = MappingProxyType(
    {"fp32": torch.float32, "fp16": torch.float16, "bf16": torch.bfloat16}
)


def check_output(output: Path, sources: Sequence[Path], *, force: bool) -> None:
    """Refuse, before any work, an output that is one of the sources, or that exists already.

    What exists may be replaced with `force`, a source never: an `OutputError`.
    """
    for source in sources:
        one, other = output.resolve(), source.resolve()
        if one == other or other in one.parents or one in other.parents:
            raise OutputError("lora.onto_source", path=output, source=source)
    if output.is_file() and not force:
        raise OutputError("output.exists", path=output)


def write(adapter: Adapter, path: Path, format: str, options: FileOptions) -> None:
    """Write an adapter as its options say; see `write_adapter`."""
    dtype = None if options.dtype is None else _DTYPES[options.dtype]
    level = None if options.metadata is None else Level(options.metadata)
    write_adapter(adapter, path, format, dtype, options.force, level)


def warnings_of(adapters: Mapping[str, Adapter]) -> Iterator[Warned]:
    """Yield what users of the files should know about them."""
    for adapter in adapters.values():
        if adapter.origin is not None:
            yield from adapter.origin.warnings


def measures_of(composition: Composition) -> Iterator[Measured]:
    """Yield the share of energy kept at each weight that was cut, then the error of all."""
    cut = [fit for fit in composition.fits if fit.norm is not None]
    for fit in cut:
        detail = {"rank": fit.rank, "error": fit.error, "norm": fit.norm}
        yield Measured(name=f"energy {fit.place}", value=fit.energy, detail=detail)
    if cut:
        yield Measured(name="error", value=composition.error)
