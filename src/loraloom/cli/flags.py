"""Flags for keys: one per spelling, so that two names for one option are noticed."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import click

from loraloom.errors import UsageError
from loraloom.jobs.foreign import FOREIGN
from loraloom.jobs.keys import Key, index
from loraloom.jobs.packed import PACKED
from loraloom.jobs.settling import Given, raise_all

WORDS = "words"
"""Name under which the bare words of a command are kept."""


def flags_of(keys: Iterable[Key]) -> Iterator[click.Option]:
    """Yield the flags of keys. Values stay text: what they must be, the options' owner says."""
    for spelling, key in index(keys).items():
        if key.kind == "flag":
            yield click.Option([spelling, f"--{spelling}/--no_{spelling}"], default=None)
        else:
            yield _valued(spelling, repeats=key.repeats)


def borrowed_flags() -> Iterator[click.Option]:
    """Yield the flags of other trainers that a recipe knows how to accept or to refuse."""
    for name in PACKED:
        yield _valued(name, repeats=True)
    for foreign in FOREIGN.values():
        if foreign.flag:
            yield click.Option([foreign.name, f"--{foreign.name}"], is_flag=True, default=None)
        else:
            yield _valued(foreign.name, repeats=False)


def given(parameters: Mapping[str, Any]) -> dict[str, Any]:
    """Return the flags that were on the command line, by spelling."""
    found = {name: v for name, v in parameters.items() if v is not None and v != ()}
    return {n: list(v) if isinstance(v, tuple) else v for n, v in found.items() if n != WORDS}  # pyright: ignore[reportUnknownArgumentType]


def by_key(spelled: Mapping[str, Any], keys: Iterable[Key]) -> dict[str, Given]:
    """Return values by canonical key; two spellings of one key are a `UsageError`."""
    known = index(keys)
    found: dict[str, Given] = {}
    errors: list[UsageError] = []
    for spelling, value in spelled.items():
        item = Given(spelling=spelling, value=value)
        first = found.setdefault(known[spelling].name, item)
        if first is not item:
            errors.append(UsageError("recipe.twice", first=first.named, second=item.named))
    raise_all(errors)
    return found


def spread(arguments: Sequence[str]) -> list[str]:
    """Repeat the flag before each word of `--network_args a=1 b=2`, which argparse reads so."""
    spread_out: list[str] = []
    flag = ""
    for word in arguments:
        name, equals, _ = word.partition("=")
        if word.startswith("-"):
            packed = name.removeprefix("--").replace("-", "_") in PACKED
            flag = name if packed else ""
        elif flag and equals and name.isidentifier() and spread_out[-1] != flag:
            spread_out.append(flag)
        elif spread_out and spread_out[-1] != flag:
            flag = ""
        spread_out.append(word)
    return spread_out


def _valued(spelling: str, *, repeats: bool) -> click.Option:
    names = [f"--{spelling}"] + ([f"-{spelling}"] if len(spelling) == 1 else [])
    return click.Option([spelling, *names], type=click.UNPROCESSED, multiple=repeats, default=None)
