"""JSON from strangers: read as the standard says, within bounds, or not at all."""

from __future__ import annotations

import json
from typing import Any, Final, NoReturn, cast

from loraloom.formats.excerpt import shown

_MOST_BRACKETS: Final = 2_000_000
"""An empty list takes three bytes of text and sixty of memory; the largest real headers have some
hundred thousand brackets."""
_MOST_QUOTES: Final = 6_000_000
"""Those that begin or end a text; a header has ten to a tensor."""


def parse_object(text: bytes) -> dict[str, Any]:
    """Return the JSON object that `text` is; anything else is a `ValueError` that says why.

    Refused beyond the usual: names that occur twice, NaN and infinities, text that UTF-8 cannot
    hold, nesting that exhausts the stack, and bombs of brackets.
    """
    quotes = text.count(b'"') - text.count(b'\\"')
    if text.count(b"[") + text.count(b"{") > _MOST_BRACKETS or quotes > _MOST_QUOTES:
        raise ValueError("it has more parts than any real one")
    try:
        content: Any = json.loads(
            text.decode("utf-8"),
            object_pairs_hook=_without_duplicates,
            parse_constant=_no_constant,
        )
    except RecursionError as error:
        raise ValueError("it is nested too deeply") from error
    if not isinstance(content, dict):
        raise ValueError("it is no JSON object")
    return cast("dict[str, Any]", content)


def _without_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    content: dict[str, Any] = {}
    for name, value in pairs:
        if name in content:
            raise ValueError(f"{shown(name)} occurs twice")
        # JSON can spell half a surrogate pair, which no file name, message or header can hold.
        name.encode("utf-8")
        content[name] = value
    return content


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no number of JSON")
