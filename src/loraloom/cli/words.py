"""Bare words of a command, given to the keys that they stand for."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from loraloom.cli.command import Request
from loraloom.cli.flags import by_key
from loraloom.errors import UsageError
from loraloom.jobs.keys import Key
from loraloom.jobs.settling import Given


def given_to(keys: Iterable[Key], names: Sequence[str], request: Request) -> dict[str, Given]:
    """Return a request's values by key; its words fill the keys named, in order.

    A key that takes any number of values takes all that are left. A word too many, or a key that
    a flag fills as well, is a `UsageError`.
    """
    known = {key.name: key for key in keys}
    values = by_key(request.flags, known.values())
    words = list(request.words)
    for name in names:
        if not words:
            break
        said = " ".join(words)
        value = words if known[name].repeats else words[0]
        words = [] if known[name].repeats else words[1:]
        if first := values.get(name):
            raise UsageError("recipe.twice", first=first.named, second=said)
        values[name] = Given(spelling=name, value=value)
    if words:
        raise UsageError("cli.too_many_words", word=words[0])
    return values
