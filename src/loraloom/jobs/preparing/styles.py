"""The styles that a person named: where their pictures are, and what calls them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import final

from loraloom.errors import UsageError
from loraloom.jobs.naming import is_file_safe
from loraloom.playground.styles import STYLES


@final
@dataclass(frozen=True, kw_only=True)
class Style:
    """One style: its name, the folder of its pictures, and the word that will call it."""

    name: str
    folder: Path
    trigger: str


def name_styles(words: Sequence[str], triggers: Sequence[str]) -> tuple[Style, ...]:
    """Return the styles of NAME=FOLDER and the triggers of NAME=WORD; `UsageError` if off."""
    folders = _pairs(words, "preprocess.style_form")
    said = _pairs(triggers, "preprocess.trigger_form")
    for name in said:
        if name not in folders:
            known = ", ".join(folders)
            raise UsageError("preprocess.trigger_of_none", name=name, known=known)
    return tuple(
        Style(name=name, folder=Path(folder), trigger=said.get(name) or _usual_trigger(name))
        for name, folder in folders.items()
    )


def _usual_trigger(name: str) -> str:
    known = STYLES.get(name)
    return (known.trigger if known else None) or f"{name}style"


def _pairs(words: Sequence[str], code: str) -> Mapping[str, str]:
    found: dict[str, str] = {}
    for word in words:
        name, equals, value = (part.strip() for part in word.partition("="))
        if not (name and equals and value):
            raise UsageError(code, word=word)
        if not is_file_safe(name):
            raise UsageError("preprocess.name_unsafe", name=name)
        if name.casefold() in {other.casefold() for other in found}:
            raise UsageError("preprocess.name_twice", name=name)
        found[name] = value
    return found
