"""The command `preprocess`."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from importlib import import_module
from typing import Any, Final

from loraloom.cli.columns import table
from loraloom.cli.command import Command, Request
from loraloom.cli.flags import by_key
from loraloom.cli.plain_data import dumps
from loraloom.cli.quoting import quoted
from loraloom.cli.records import Tally
from loraloom.cli.session import Session
from loraloom.errors import UsageError
from loraloom.events import Event
from loraloom.jobs.keys import Key, keys_of, plain
from loraloom.jobs.settling import Given, settle

_ENDING: Final = "_dir"


def _keys() -> tuple[Key, ...]:
    from loraloom.jobs.preparing.options import PreprocessOptions

    return keys_of(PreprocessOptions)


def _reword(arguments: list[str]) -> list[str]:
    """Put NAME=FOLDER in the place of `--NAME_dir FOLDER`."""
    own = {name for key in _keys() for name in key.spellings}
    words = iter(arguments)
    found: list[str] = []
    for word in words:
        name, equals, value = word.removeprefix("--").partition("=")
        style = plain(name)
        if not word.startswith("--") or not style.endswith(_ENDING) or style in own:
            found.append(word)
        elif equals:
            found.append(f"{style.removesuffix(_ENDING)}={value}")
        else:
            folder = next(words, "")
            if folder.startswith("-"):
                raise UsageError("preprocess.folder_missing", flag=word, word=folder)
            found.append(f"{style.removesuffix(_ENDING)}={folder}")
    return found


def _run(session: Session, request: Request) -> int:
    from loraloom.jobs.preparing.options import PreprocessOptions

    values = by_key(request.flags, _keys())
    if request.words:
        if first := values.get("styles"):
            raise UsageError("recipe.twice", first=first.named, second=" ".join(request.words))
        values["styles"] = Given(spelling="styles", value=list(request.words))
    options = settle(PreprocessOptions, values)
    from loraloom.cli.follow import follow

    def start(stop: Callable[[], bool]) -> Iterator[Event]:
        return import_module("loraloom.jobs.preprocess").preprocess(options, stop)

    def show(tally: Tally) -> int:
        if session.json:
            print(dumps({**tally.result(), **tally.report}), file=session.out)
        else:
            _show(tally.report, session)
        return 0

    return follow(session, start, show=show)


def _show(report: Mapping[str, Any], session: Session) -> None:
    names = ("style", "trigger", "pictures", "written", "unchanged", "left_out", "folder")
    header = [session.say(f"preprocess.column.{name}") for name in names]
    rows = [_row(style) for style in report["styles"]]
    print(*table([header, *rows]), sep="\n", file=session.out)
    print("", session.say("progress.next"), f"  {_next(report)}", sep="\n", file=session.out)


def _next(report: Mapping[str, Any]) -> str:
    """Return the command that trains the styles, each by its trigger."""
    words = ["loraloom train"]
    for style in report["styles"]:
        name = style["name"]
        for flag, value in (("adapter", style["folder"]), ("adapter_trigger", style["trigger"])):
            words.append(f"--{flag} " + quoted(f"{name}={value}"))
    if report["resolution"] is not None:
        words.append(f"--resolution {report['resolution']}")
    return " ".join((*words, "--model", quoted(report["model"] or "MODEL")))


def _row(style: Mapping[str, Any]) -> Sequence[str]:
    counts = (style["images"], style["written"], style["unchanged"], len(style["left_out"]))
    return (style["name"], style["trigger"], *(f"{count:,}" for count in counts), style["folder"])


PREPROCESS: Final = Command(
    name="preprocess", options=_keys, run=_run, words="NAME=FOLDER...", reword=_reword
)
