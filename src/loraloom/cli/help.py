"""Help pages, rendered from the keys of a command."""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import groupby
from typing import Any, Final

from loraloom.cli.columns import definitions, wrapped
from loraloom.jobs.keys import Key
from loraloom.jobs.packed import PACKED
from loraloom.text import catalogue, say

_PLACES: Final = {
    "integer": "N",
    "number": "X",
    "text": "TEXT",
    "path": "PATH",
    "size": "W,H",
    "texts": "TEXT",
    "paths": "PATH",
    "integers": "N,N,…",
    "numbers": "X,X,…",
}
_ALIASES_SHOWN: Final = 2


@dataclass(frozen=True, kw_only=True)
class Help:
    """What a help page tells about a command; `code` is where its sentences are."""

    name: str
    code: str
    words: str
    keys: tuple[Key, ...]


def help_text(page: Help, language: str, *, everything: bool) -> str:
    """Return a help page; the keys marked hidden and all aliases only where `everything` is."""
    width = min(100, max(60, shutil.get_terminal_size((80, 24)).columns))
    keys = [key for key in page.keys if everything or not key.hidden]
    usage = " ".join(filter(None, ("loraloom", page.name, page.words, "[--flags]")))
    lines = [say("cli.usage", language, usage=usage), ""]
    lines += [*wrapped(say(page.code, language), width), ""]
    lines += ["  " + example for example in examples(page, language)]
    for title, members in grouped(keys, language):
        rows = [(term(key), explained(key, language, everything=everything)) for key in members]
        lines += ["", f"{title}:", *definitions(rows, width=width)]
    if everything and any(key.group == "DataOptions" for key in keys):
        rows = [(f"--{packed.name} K=V", packed.helps[language]) for packed in PACKED.values()]
        lines += ["", say("cli.packed", language), *definitions(rows, width=width)]
    if len(keys) < len(page.keys):
        lines += ["", *wrapped(say("cli.more", language, name=page.name), width)]
    return "\n".join(lines) + "\n"


def examples(page: Help, language: str) -> list[str]:
    """Return the command's examples, one per line."""
    return say(f"{page.code}.examples", language).splitlines()


def grouped(keys: Iterable[Key], language: str) -> Iterator[tuple[str, list[Key]]]:
    """Yield the keys by the group that declares them, with the group's title."""
    for group, members in groupby(keys, key=lambda key: key.group):
        code = f"group.{group}"
        own = code in catalogue(language)
        yield say(code if own else "group.options", language), list(members)


def term(key: Key) -> str:
    """Return a key as a flag with a place for its value."""
    if key.kind == "flag":
        return f"--no_{key.name}" if key.default is True else f"--{key.name}"
    return f"--{key.name} {place(key)}"


def place(key: Key) -> str:
    """Return what stands for the key's value."""
    return "|".join(key.choices) if key.kind == "choice" else _PLACES[key.kind]


def explained(key: Key, language: str, *, everything: bool) -> str:
    """Return the key's help with its default, bounds and other names."""
    notes: list[str] = []
    if (default := shown(key.default)) and key.kind != "flag":
        notes.append(say("cli.default", language, value=default))
    if everything and key.bounds:
        notes.append(key.bounds)
    if key.repeats:
        notes.append(say("cli.repeatable", language))
    aliases = [f"-{a}" if len(a) == 1 else f"--{a}" for a in key.aliases]
    if aliases:
        names = ", ".join(aliases if everything else aliases[:_ALIASES_SHOWN])
        notes.append(say("cli.also", language, names=names))
    told = key.helps[language]
    if key.kind == "flag" and key.default is True:
        told = say("cli.negated", language, text=told)
    return told + (f" [{'; '.join(notes)}]" if notes else "")


def shown(value: Any) -> str:
    """Return a default as a person would write it; "" where there is none."""
    match value:
        case None | "":
            return ""
        case tuple() | list():
            return ", ".join(shown(item) for item in value)  # pyright: ignore[reportUnknownVariableType]
        case bool():
            return str(value).lower()
        case float():
            return f"{value:g}"
        case _:
            return str(value)
