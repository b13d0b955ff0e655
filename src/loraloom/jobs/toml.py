"""Options as text that a recipe file may hold; the standard library only reads the format."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from loraloom.jobs.keys import keys_of
from loraloom.options import AbstractOptions


def lines_of(
    options: AbstractOptions, *, without: tuple[str, ...] = (), notes: Mapping[str, str]
) -> Iterator[str]:
    """Yield `key = value` for every option that has a value; `notes` are comments for the rest."""
    for key in keys_of(type(options)):
        holder: Any = options
        for step in key.home:
            holder = getattr(holder, step)
        value = getattr(holder, key.name)
        if key.name in without:
            continue
        if value is None:
            if key.name in notes:
                yield f"# {key.name}: {notes[key.name]}"
        elif key.kind == "size":
            yield f'{key.name} = "{value[0]},{value[1]}"'
        else:
            yield f"{key.name} = {literal(value)}"


def literal(value: Any) -> str:
    """Return a value as TOML writes it."""
    match value:
        case bool():
            return str(value).lower()
        case int() | float():
            return repr(value)
        case str() | Path():
            # TOML's basic strings escape as JSON's do, and DEL besides.
            return json.dumps(str(value), ensure_ascii=False).replace("\x7f", "\\u007f")
        case _:
            return "[" + ", ".join(literal(item) for item in value) + "]"
