"""Commands that tell something: a job returns what is known, lines for a person are made of it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from loraloom.cli.command import Command, Request
from loraloom.cli.imported import imported
from loraloom.cli.plain_data import dumps
from loraloom.cli.session import Session
from loraloom.cli.words import given_to
from loraloom.jobs.keys import Key, keys_of
from loraloom.jobs.settling import settle
from loraloom.text.harmless import harmless

_JOBS: Final = "loraloom.jobs"
_UNSOUND: Final = 1
"""The exit status where a job says that what it looked at is not `ok`."""


@dataclass(frozen=True, kw_only=True)
class Telling:
    """Where options and job are, as "module:name" below `loraloom.jobs`; how lines are made.

    They are imported when the command is called. `words` names the keys that bare words fill.
    """

    options: str
    job: str
    lines: Callable[[Any, Session], Iterator[str]]
    words: tuple[str, ...] = ()

    def command(self, name: str, shown: str = "") -> Command:
        """Return the command of this name; `shown` are its bare words as help shows them."""
        return Command(name=name, options=self._keys, run=self._run, words=shown)

    def _keys(self) -> tuple[Key, ...]:
        return keys_of(imported(f"{_JOBS}.{self.options}"))

    def _run(self, session: Session, request: Request) -> int:
        values = given_to(self._keys(), self.words, request)
        options = settle(imported(f"{_JOBS}.{self.options}"), values)
        told: Mapping[str, Any] = imported(f"{_JOBS}.{self.job}")(options)
        if session.json:
            print(dumps(told), file=session.out)
        else:
            for line in self.lines(told, session):
                print(harmless(line, lines=True), file=session.out)
        return 0 if told.get("ok", True) else _UNSOUND
