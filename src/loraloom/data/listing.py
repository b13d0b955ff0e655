"""What lies directly in one folder, by kind and in an order that no file system can change."""

from __future__ import annotations

import os
import unicodedata
from dataclasses import dataclass
from pathlib import Path

from loraloom.data.picture import READABLE, UNREADABLE
from loraloom.errors import DatasetError


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
