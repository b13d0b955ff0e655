"""One source of a recipe, a file or the command line, as keys with their places."""

# What a parser of TOML returns is any mix of mappings, lists and scalars.
# pyright: reportUnknownArgumentType=false, reportUnknownVariableType=false

from __future__ import annotations

import re
import tomllib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from loraloom.errors import UsageError
from loraloom.jobs.keys import plain
from loraloom.jobs.packed import PACKED
from loraloom.jobs.settling import Given
from loraloom.jobs.text_file import read_text

TABLES: Final = "adapters"
"""The one list of tables that a recipe has."""

_HEADER = re.compile(r"""\s*(\[{1,2})\s*["']?([\w-]+)""")
_KEY = re.compile(r"""\s*["']?([\w-]+)["']?\s*=""")

_Place = Callable[[int | None, str], str]


@dataclass(frozen=True, kw_only=True)
class Layer:
    """The keys of one source as written: those of the run, and those of each adapter's table."""

    top: tuple[Given, ...]
    adapters: tuple[tuple[Given, ...], ...] = ()


def read_layer(path: Path) -> Layer:
    """Read a recipe file. Section names mean nothing, as in kohya's; `[[adapters]]` are tables."""
    try:
        text = read_text(path)
        content = tomllib.loads(text)
    except OSError as error:
        raise UsageError("recipe.unreadable", path=path, reason=error.strerror) from error
    except ValueError as error:  # of the form, of UTF-8, or of a number with thousands of digits
        raise UsageError("recipe.not_toml", path=path, reason=error) from error
    if "datasets" in content:
        raise UsageError("recipe.dataset_file", path=path)
    lines = _lines(text)

    def place(table: int | None, key: str) -> str:
        line = lines.get((table, key))
        return path.name if line is None else f"{path.name}:{line}"

    return _layer(content, place)


def flag_layer(overrides: Mapping[str, Any]) -> Layer:
    """Return what flags, or a caller in Python, ask for; `adapters` may be a list of mappings."""
    return _layer(overrides, lambda table, key: "")


def _lines(text: str) -> dict[tuple[int | None, str], int]:
    """Find the line of each key, by number of its adapter's table; a parser does not tell."""
    found: dict[tuple[int | None, str], int] = {}
    tables, inside = -1, False
    for number, line in enumerate(text.splitlines(), start=1):
        if header := _HEADER.match(line):
            inside = header[2] == TABLES
            tables += inside and header[1] == "[["
        elif key := _KEY.match(line):
            found.setdefault((tables if inside else None, key[1]), number)
    return found


def _layer(content: Mapping[str, Any], place: _Place) -> Layer:
    tables = content.get(TABLES, ())
    if not isinstance(tables, list | tuple) or not all(isinstance(t, Mapping) for t in tables):
        raise UsageError("recipe.adapters_not_tables", place=place(None, TABLES))
    top = {key: value for key, value in content.items() if key != TABLES}
    return Layer(
        top=tuple(_flat(top, None, place)),
        adapters=tuple(tuple(_flat(table, n, place)) for n, table in enumerate(tables)),
    )


def _flat(content: Mapping[str, Any], table: int | None, place: _Place) -> Iterator[Given]:
    for key, value in content.items():
        if isinstance(value, Mapping) and plain(key) not in PACKED:
            yield from _flat(value, table, place)
        else:
            yield Given(spelling=key, value=value, place=place(table, key))
