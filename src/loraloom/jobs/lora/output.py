"""Where a job on adapter files writes: never over anything that it reads, in whatever disguise."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Final

from loraloom.errors import OutputError
from loraloom.formats.obstacle import require_writable
from loraloom.formats.source import peft_volumes
from loraloom.jobs.lora.model_place import local_place

_LEVELS: Final = ("*", "*/*")
"""All that is read or written of a folder lies in it, or in the folder of a network."""


def check_output(
    output: Path, sources: Sequence[Path], *, force: bool, bases: Iterable[str | None] = ()
) -> None:
    """Refuse, before any work, an output that cannot be written, or that must not be.

    What exists may be replaced with `force`. What is read never: neither `sources` nor the models
    named by `bases`, nor a folder around them or a file in them, nor any of that by the name of a
    symbolic or hard link. All of these are an `OutputError`.
    """
    models = (None if name is None else local_place(name) for name in bases)
    for source in (*sources, *(path for path in models if path is not None)):
        if _is_within(output, source) or _is_within(source, output) or _share(output, source):
            raise OutputError("lora.onto_source", path=output, source=source)
    require_writable(output, folder=os.path.isdir(output))
    held = os.path.isfile(output) or any(os.path.lexists(v.weights) for v in peft_volumes(output))
    if held and not force:
        raise OutputError("lora.output_exists", path=output)


def _is_within(one: Path, other: Path) -> bool:
    # Unlike pathlib's, this follows a ring of links to nowhere instead of raising.
    place, outer = Path(os.path.realpath(one)), Path(os.path.realpath(other))
    return place == outer or outer in place.parents


def _share(output: Path, source: Path) -> bool:
    """Whether a file that is written is one that is read, by another name."""
    return not _identities(output).isdisjoint(_identities(source))


def _identities(path: Path) -> set[tuple[int, int]]:
    """Return what the system knows the files at a path by: the one, or those in the folder."""
    found = (os.stat(file) for file in _files(path))
    return {(each.st_dev, each.st_ino) for each in found}


def _files(path: Path) -> Iterator[Path]:
    is_folder = os.path.isdir(path)
    every = [file for level in _LEVELS for file in path.glob(level)] if is_folder else [path]
    return (file for file in every if os.path.isfile(file))
