"""What lies directly in one folder, by kind and in an order that no file system can change."""

from __future__ import annotations

import os
import re
import unicodedata
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from loraloom.data.picture import READABLE, UNREADABLE
from loraloom.errors import DatasetError

# Python's stand-ins for the bytes of a name that are not UTF-8.
_BYTES: Final = re.compile("[\ud800-\udfff]")


@dataclass(frozen=True, kw_only=True)
class Listing:
    """The entries of one folder, each kind sorted by name; hidden ones are left out."""

    folder: Path
    pictures: tuple[Path, ...]
    unreadable: tuple[Path, ...]
    others: tuple[Path, ...]
    folders: tuple[Path, ...]


def list_folder(folder: Path) -> Listing:
    """Return what `folder` holds, not looking below it; DatasetError if it may not be read."""
    try:
        entries = sorted(
            (entry for entry in folder.iterdir() if not entry.name.startswith(".")),
            key=lambda entry: (composed(entry.name), entry.name),
        )
    except OSError as error:
        raise DatasetError(
            "dataset.folder_unreadable", folder=str(folder), reason=error.strerror
        ) from error
    folders = tuple(entry for entry in entries if os.path.isdir(entry))
    files = tuple(entry for entry in entries if not os.path.isdir(entry))
    kinds = [(file, file.suffix.lower()) for file in files]
    return Listing(
        folder=folder,
        pictures=tuple(file for file, kind in kinds if kind in READABLE),
        unreadable=tuple(file for file, kind in kinds if kind in UNREADABLE),
        others=tuple(file for file, kind in kinds if kind not in READABLE | UNREADABLE),
        folders=folders,
    )


def composed(name: str) -> str:
    """Return a name in Unicode's composed form (NFC), since macOS stores Hangul taken apart."""
    return unicodedata.normalize("NFC", name)


def spelled(name: str) -> str:
    """Return a name in composed form and in letters alone, whatever its bytes are.

    Names that Korean Windows packed into an archive come out of it on Linux in cp949; what is none
    either shows its bytes as "%FF".
    """
    if not _BYTES.search(name):
        return composed(name)
    try:
        return composed(name.encode("utf-8", "surrogateescape").decode("cp949"))
    except UnicodeError:
        return composed(_BYTES.sub(lambda found: f"%{ord(found[0]) & 0xFF:02X}", name))


def is_spelled(name: str) -> bool:
    """Tell whether a name is of letters alone, as every file system and program expects."""
    return not _BYTES.search(name)
