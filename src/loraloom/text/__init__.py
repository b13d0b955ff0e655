"""The message catalogue: every sentence the program says, in English and Korean, by a key."""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from types import MappingProxyType
from typing import Final, final

from loraloom.text.harmless import harmless

LANGUAGES: Final = ("en", "ko")
_NESTED: Final = "text"
"""The field that holds another message, whose line breaks are ours."""


@cache
def catalogue(language: str) -> Mapping[str, str]:
    """Return all messages of one language, key to template."""
    text = files("loraloom.text").joinpath(f"{language}.json").read_text(encoding="utf-8")
    messages: dict[str, str] = json.loads(text)
    return MappingProxyType(messages)


def say(key: str, language: str = "en", /, **details: object) -> str:
    """Return the message `key` in `language`, its {fields} filled from `details`.

    What they say may come from a stranger's file; see `harmless`.
    """
    fields = {name: _Field(value, lines=name == _NESTED) for name, value in details.items()}
    return catalogue(language)[key].format(**fields)


@final
class _Field:
    """A value that is harmless once it is written."""

    def __init__(self, value: object, *, lines: bool) -> None:
        self._value = value
        self._lines = lines

    def __format__(self, specification: str) -> str:
        return harmless(format(self._value, specification), lines=self._lines)

    def __repr__(self) -> str:
        return harmless(repr(self._value))
