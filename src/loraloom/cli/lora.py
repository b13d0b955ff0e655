"""The commands of `lora` that tell something: info, verify, diff, interference, hash, meta."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from importlib import import_module
from typing import Any, Final

from loraloom.cli.command import Command, Request
from loraloom.cli.lora_tables import (
    diff_lines,
    hash_lines,
    info_lines,
    interference_lines,
    metadata_lines,
    saved_lines,
    verify_lines,
)
from loraloom.cli.records import dumps
from loraloom.cli.session import Session
from loraloom.cli.words import given_to
from loraloom.jobs.keys import Key, keys_of
from loraloom.jobs.settling import settle

_UNSOUND: Final = 1
"""The exit status of `lora verify` for a file that is broken, or differs from the other."""


@dataclass(frozen=True, kw_only=True)
class _Telling:
    """Where options and job are, as "module:name"; how lines are made of what the job returns.

    `words` names the keys that the bare words fill.
    """

    options: str
    job: str
    lines: Callable[[Any, Session], Iterator[str]]
    words: tuple[str, ...]

    def keys(self) -> tuple[Key, ...]:
        return keys_of(_imported(self.options))

    def run(self, session: Session, request: Request) -> int:
        values = given_to(self.keys(), self.words, request)
        options = settle(_imported(self.options), values)
        told: Mapping[str, Any] = _imported(self.job)(options)
        if session.json:
            print(dumps(told), file=session.out)
        else:
            for line in self.lines(told, session):
                print(line, file=session.out)
        return 0 if told.get("ok", True) else _UNSOUND


def _imported(place: str) -> Any:
    module, _, name = place.partition(":")
    return getattr(import_module(f"loraloom.jobs.{module}"), name)


def _command(name: str, shown: str, telling: _Telling) -> Command:
    return Command(name=name, options=telling.keys, run=telling.run, words=shown)


TELLING: Final = (
    _command(
        "lora info",
        "FILE...",
        _Telling(
            options="lora.telling_options:InfoOptions",
            job="lora_info:lora_infos",
            lines=info_lines,
            words=("files",),
        ),
    ),
    _command(
        "lora verify",
        "FILE [OTHER]",
        _Telling(
            options="lora.telling_options:VerifyOptions",
            job="lora.verify:verify",
            lines=verify_lines,
            words=("first", "second"),
        ),
    ),
    _command(
        "lora diff",
        "FILE OTHER",
        _Telling(
            options="lora.telling_options:DiffOptions",
            job="lora.verify:diff",
            lines=diff_lines,
            words=("first", "second"),
        ),
    ),
    _command(
        "lora interference",
        "FILE FILE...",
        _Telling(
            options="lora.telling_options:InterferenceOptions",
            job="lora.interference:interference",
            lines=interference_lines,
            words=("adapters",),
        ),
    ),
    _command(
        "lora hash",
        "FILE...",
        _Telling(
            options="lora.telling_options:HashOptions",
            job="lora.header:tell_hashes",
            lines=hash_lines,
            words=("files",),
        ),
    ),
    _command(
        "lora meta show",
        "FILE",
        _Telling(
            options="lora.telling_options:ShowOptions",
            job="lora.header:show_metadata",
            lines=metadata_lines,
            words=("source",),
        ),
    ),
    _command(
        "lora meta set",
        "FILE KEY=TEXT...",
        _Telling(
            options="lora.options:MetadataOptions",
            job="lora.header:set_metadata",
            lines=saved_lines,
            words=("source", "entries"),
        ),
    ),
)
