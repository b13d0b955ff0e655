"""The message catalogue: every sentence the program says, in English and Korean, by a key."""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from types import MappingProxyType
from typing import Final

LANGUAGES: Final = ("en", "ko")


@cache
def catalogue(language: str) -> Mapping[str, str]:
    """Return all messages of one language, key to template."""
    text = files("loraloom.text").joinpath(f"{language}.json").read_text(encoding="utf-8")
    messages: dict[str, str] = json.loads(text)
    return MappingProxyType(messages)


def say(key: str, language: str = "en", /, **details: object) -> str:
    """Return the message `key` in `language`, its {fields} filled from `details`."""
    return catalogue(language)[key].format(**details)
