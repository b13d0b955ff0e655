"""What one file of tensors tells of them, however it keeps it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import final

from loraloom.formats.header import Entry, read_header, read_numbers
from loraloom.formats.source import Volume


@final
@dataclass(frozen=True, kw_only=True)
class Shelf:
    """The tensors of a file, its metadata, and how to look at tensors of one number.

    `data_start` is where the tensors' bytes begin; None in a pickle, which has them anywhere.
    """

    entries: Mapping[str, Entry]
    metadata: Mapping[str, str]
    numbers: Callable[[Iterable[str]], dict[str, float]]
    data_start: int | None


def open_shelf(volume: Volume) -> Shelf:
    """Return what a file tells: of a safetensors file the header is all that is read.

    A pickle has none: torch reads it, with nothing in it executed and tensors left on the disk.
    """
    if volume.is_pickle:
        return _of_pickle(volume.weights)
    header = read_header(volume.weights)
    return Shelf(
        entries=header.entries,
        metadata=header.metadata,
        numbers=partial(read_numbers, volume.weights, header),
        data_start=header.data_start,
    )


def _of_pickle(path: Path) -> Shelf:
    from loraloom.formats.pickles import read_pickle
    from loraloom.formats.tensor_file import dtype_name

    tensors = read_pickle(path)
    entries = {
        name: Entry(dtype_name(each.dtype) or str(each.dtype), tuple(each.shape), 0, 0)
        for name, each in tensors.items()
    }
    return Shelf(
        entries=entries,
        metadata={},
        numbers=lambda names: {name: float(tensors[name]) for name in names},
        data_start=None,
    )
