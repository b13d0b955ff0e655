"""The files of the cache: what there is, what is superfluous, and its removal."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

from safetensors import SafetensorError, safe_open

from loraloom.errors import OutputError

SUFFIX: Final = ".safetensors"
PASSING: Final = ".part"
"""The ending of a file that is being written; one that stays was left by a process that died."""

LATENTS: Final = "latents"
"""The folder of latents in the cache folder."""

_open: Any = safe_open  # it comes without types

BROKEN: Final = (SafetensorError, OSError, KeyError)
"""What reading a file that is missing or damaged raises."""


@dataclass(frozen=True, kw_only=True)
class Entry:
    """A file of the store: its size in bytes and when it was last used, in seconds of the epoch."""

    path: Path
    encoder: str
    size: int
    used: float


def entries(folder: Path) -> Iterator[Entry]:
    """Yield the files of all encoders' latents below a cache folder, those left half-written too.

    Other files are none of ours, and are not told. A file that goes while it is looked at is gone.
    """
    for path in sorted((folder / LATENTS).glob("*/*/*")):
        if path.suffix not in (SUFFIX, PASSING):
            continue
        with suppress(FileNotFoundError):
            found = path.stat()
            yield Entry(
                path=path,
                encoder=path.parent.parent.name,
                size=found.st_size,
                used=found.st_mtime,
            )


def title(entry: Entry) -> str:
    """Return the name of the base whose encoder made a file; "" if it does not tell."""
    try:
        with _open(entry.path, "np") as file:
            metadata: Mapping[str, str] = file.metadata() or MappingProxyType({})
            return metadata.get("base", "")
    except BROKEN:
        return ""


def superfluous(
    found: Sequence[Entry],
    *,
    now: float,
    everything: bool = False,
    unused_for: float | None = None,
    most: int | None = None,
) -> tuple[Entry, ...]:
    """Return the files to be removed, the longest unused first.

    These are: `everything`; what was not used for more than `unused_for` seconds; and then the
    longest unused ones until the rest is `most` bytes or less. What was left half-written more than
    an hour ago is always among them.
    """
    ordered = sorted(found, key=lambda entry: (entry.used, entry.path))
    left = sum(entry.size for entry in ordered)
    chosen: list[Entry] = []
    for entry in ordered:
        age = now - entry.used
        is_leaving = (
            everything
            or (unused_for is not None and age > unused_for)
            or (most is not None and left > most)
        )
        is_passing = entry.path.suffix == PASSING
        # A younger one may be in the making.
        if (is_passing and age > 3600) or (is_leaving and not is_passing):
            chosen.append(entry)
            left -= entry.size
    return tuple(chosen)


def remove(entry: Entry) -> None:
    """Remove a file, and the folders that it leaves empty; OutputError where it cannot be."""
    try:
        entry.path.unlink(missing_ok=True)
    except OSError as error:
        raise OutputError("cache.unwritable", path=entry.path, reason=error) from error
    with suppress(OSError):  # there are others in it
        entry.path.parent.rmdir()
        entry.path.parent.parent.rmdir()
