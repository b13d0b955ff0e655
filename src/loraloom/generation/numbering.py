"""The numbers that picture files begin with."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

from loraloom.formats.obstacle import unwritable

_NUMBERED: Final = re.compile(r"(\d{5,})\b.*\.png", re.IGNORECASE)


def next_number(folder: Path) -> int:
    """Return the number after the highest one that a picture's name in `folder` begins with.

    A folder that cannot be listed is an `OutputError`; one that is not there yet begins at 0.
    """
    try:
        names = [path.name for path in folder.iterdir()] if folder.is_dir() else []
    except OSError as error:
        raise unwritable(folder, error) from error
    numbers = [int(match[1]) for name in names if (match := _NUMBERED.fullmatch(name))]
    return max(numbers, default=-1) + 1
