"""Names of files made from tokens, which strangers wrote: fit for every common file system."""

from __future__ import annotations

import hashlib
import re
import unicodedata
from collections.abc import Collection
from typing import Final

from loraloom.text.harmless import is_obeyed

_ENDING: Final = ".safetensors"
_LONGEST: Final = 255
"""Bytes that a file's name may have, its ending included."""
_NO_PLACE: Final = re.compile(r'[<>:"/\\|?*]|^[. ]+|[. ]+$')
"""What some file system has no place for in a file's name, or takes away from its end."""
_RESERVED: Final = re.compile(
    r"(con|prn|aux|nul|conin\$|conout\$|com[\d¹²³]|lpt[\d¹²³]) *(\..*)?", re.IGNORECASE
)
"""Names of devices. Source: learn.microsoft.com, "Naming Files, Paths, and Namespaces"."""


def free_name(word: str, taken: Collection[str]) -> str:
    """Return the name of a file for a word; with a number where its `likeness` is taken."""
    count, name = 1, _file_name(word, "")
    while likeness(name) in taken:
        count += 1
        name = _file_name(word, f"-{count}")
    return name


def is_file_safe(word: str) -> bool:
    """Whether a word can be the name of a file as it is."""
    return _file_name(word, "") == f"{word}{_ENDING}"


def likeness(name: str) -> str:
    """Return what is equal for names that some file system takes for one."""
    composed = unicodedata.normalize("NFC", name)
    return unicodedata.normalize("NFC", composed.casefold())


def _file_name(word: str, number: str) -> str:
    letters = unicodedata.normalize("NFC", word)
    letters = "".join("_" if is_obeyed(letter) else letter for letter in letters)
    stem = _NO_PLACE.sub("_", letters) or "_"
    if _RESERVED.fullmatch(stem):
        stem = f"_{stem}"
    return f"{_shortened(stem, _LONGEST - len(number) - len(_ENDING))}{number}{_ENDING}"


def _shortened(stem: str, most: int) -> str:
    """Return a stem of at most `most` bytes; one that is cut ends in a hash of the whole."""
    written = stem.encode()
    if len(written) <= most:
        return stem
    mark = f"-{hashlib.sha256(written).hexdigest()[:8]}"
    return written[: most - len(mark)].decode(errors="ignore") + mark
