"""How one start of the program speaks: its language, its streams, and how much it says."""

from __future__ import annotations

import locale
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from types import MappingProxyType
from typing import Any, Final, Protocol, final, runtime_checkable

from loraloom.jobs.keys import Key, Kind, plain
from loraloom.jobs.settling import Given, wrong
from loraloom.text import LANGUAGES, say


def _key(name: str, kind: Kind, en: str, ko: str, choices: tuple[str, ...] = ()) -> Key:
    return Key(
        name=name,
        home=(),
        group="Session",
        kind=kind,
        choices=choices,
        bounds="",
        default=False if kind == "flag" else None,
        required=False,
        aliases=(),
        helps=MappingProxyType({"en": en, "ko": ko}),
        unit="",
        hidden=False,
    )


KEYS: Final = (
    _key(
        "lang",
        "choice",
        "Language of all text; without it LORALOOM_LANG, then the system's.",
        "모든 글의 언어. 지정하지 않으면 LORALOOM_LANG, 그다음 시스템 설정을 따릅니다.",
        LANGUAGES,
    ),
    _key(
        "json",
        "flag",
        "Print one JSON object on standard output, and nothing else there.",
        "표준 출력에 JSON 객체 하나만 출력합니다.",
    ),
    _key(
        "events",
        "path",
        "File to append every event to as a line of JSON; - is standard output.",
        "모든 이벤트를 JSON 한 줄씩 덧붙일 파일. -는 표준 출력입니다.",
    ),
    _key(
        "quiet",
        "flag",
        "Show no progress; warnings, errors and results remain.",
        "진행 상황을 표시하지 않습니다. 경고, 오류, 결과는 그대로 나옵니다.",
    ),
)
"""Options of every command that are about the telling, not the doing."""


@runtime_checkable
class Stream(Protocol):
    """Where text goes."""

    def write(self, text: str, /) -> object:
        """Take text."""
        ...

    def flush(self) -> object:
        """Pass on what was taken."""
        ...

    def isatty(self) -> bool:
        """Tell whether a person reads it as it comes."""
        ...


@final
@dataclass(frozen=True, kw_only=True)
class Session:
    """The language and the streams of one start, and what goes to them.

    `json` and `events` (a path, or "-") are as asked for on the command line.
    """

    language: str
    json: bool
    quiet: bool
    events: str | None
    out: Stream
    err: Stream

    def say(self, key: str, /, **details: object) -> str:
        """Return a message of the catalogue in the session's language."""
        return say(key, self.language, **details)


def open_session(arguments: Sequence[str], environment: Mapping[str, str]) -> Session:
    """Read what must be known before anything else is: even a wrong flag is told in a language."""
    given = dict(_flags(arguments))
    events = given.get("events")
    return Session(
        language=_language(given.get("lang"), environment),
        json="json" in given,
        quiet="quiet" in given,
        events=events or None,
        out=sys.stdout,
        err=sys.stderr,
    )


def besides(keys: Sequence[Key]) -> tuple[Key, ...]:
    """Return this module's keys that a command does not have itself."""
    names = {key.name for key in keys}
    return tuple(key for key in KEYS if key.name not in names)


def check(parameters: Mapping[str, Any]) -> None:
    """Refuse values of this module's keys that are none; `parameters` are by spelling."""
    for key in KEYS:
        value = parameters.get(key.name)
        if key.kind == "choice" and value is not None and value not in key.choices:
            raise wrong(key, Given(spelling=key.name, value=value))


def _flags(arguments: Sequence[str]) -> Sequence[tuple[str, str]]:
    """Return long flags with the word after them or after their equals sign."""
    found: list[tuple[str, str]] = []
    for word, following in pairwise((*arguments, "")):
        if word == "--":
            break
        if word.startswith("--"):
            name, equals, value = word[2:].partition("=")
            found.append((plain(name), value if equals else following))
    return found


def _language(asked: str | None, environment: Mapping[str, str]) -> str:
    wishes = (
        asked,
        environment.get("LORALOOM_LANG"),
        environment.get("LC_ALL"),
        environment.get("LC_MESSAGES"),
        environment.get("LANG"),
        locale.getlocale()[0],  # on Windows, which sets no variables, "Korean_Korea"
    )
    first = next((wish for wish in wishes if wish), "")
    return "ko" if first.lower().startswith("ko") else "en"
