"""A command of the program: what it takes, and what it does with it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import click

from loraloom.cli import session as terminal
from loraloom.cli.flags import WORDS, borrowed_flags, flags_of, given, spread
from loraloom.cli.help import Help, help_text
from loraloom.cli.session import Session
from loraloom.jobs.keys import Key, plain


@dataclass(frozen=True, kw_only=True)
class Request:
    """What was asked of a command: its bare words, and its own flags by spelling."""

    words: tuple[str, ...]
    flags: Mapping[str, Any]


@dataclass(frozen=True, kw_only=True)
class Command:
    """One command; its options are looked up only when it is called.

    `words` shows the bare words that it takes, "" if none. `borrows` says that it knows the keys
    of other trainers. `reword` puts words into a form that its flags know. Its sentences are in
    the catalogue under `cli.` and its name.
    """

    name: str
    options: Callable[[], tuple[Key, ...]]
    run: Callable[[Session, Request], int]
    words: str = ""
    borrows: bool = False
    reword: Callable[[list[str]], list[str]] | None = None

    @property
    def code(self) -> str:
        """The code of its sentence in the catalogue, and the start of its others'."""
        return f"cli.{self.name.replace(' ', '_')}"

    def help(self) -> Help:
        """Return what its help page tells."""
        own = self.options()
        return Help(
            name=self.name, code=self.code, words=self.words, keys=(*own, *terminal.besides(own))
        )

    def built(self, language: str) -> click.Command:
        """Return the command for the parser, with its help in a language."""
        return _Parser(self, language)


class _Parser(click.Command):
    """A command for click, with help rendered from the keys."""

    def __init__(self, command: Command, language: str) -> None:
        super().__init__(
            command.name.rpartition(" ")[2],
            params=[*_parameters(command), _help_all()],
            callback=click.pass_context(self._run),
            context_settings={
                "help_option_names": ["-h", "--help"],
                "token_normalize_func": plain,
            },
        )
        self._command = command
        self._language = language

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        if self._command.reword is not None:
            args = self._command.reword(args)
        try:
            self._check_values(args)
            return super().parse_args(ctx, spread(args) if self._command.borrows else args)
        except click.BadOptionUsage as error:
            error.ctx = error.ctx or ctx  # so that what the option is can be looked up
            raise

    def _check_values(self, args: list[str]) -> None:
        """Refuse a flag as the value of the flag before it: the value was forgotten."""
        options = [p for p in self.params if isinstance(p, click.Option) and not p.is_flag]
        valued = {name for option in options for name in option.opts}
        for word, following in pairwise((*args, "--")):
            if word == "--":
                return
            dashes = "-" * (len(word) - len(word.lstrip("-")))
            if dashes + plain(word.lstrip("-")) in valued and following.startswith("--"):
                raise click.BadOptionUsage(word, "requires an argument")

    def format_help(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        everything = bool(ctx.meta.get(_EVERYTHING))
        formatter.write(help_text(self._command.help(), self._language, everything=everything))

    def _run(self, ctx: click.Context, **parameters: Any) -> int:
        terminal.check(parameters)
        own = {key.name for key in terminal.KEYS}
        flags = {name: value for name, value in given(parameters).items() if name not in own}
        request = Request(words=tuple(parameters.get(WORDS, ())), flags=flags)
        return self._command.run(ctx.ensure_object(Session), request)


_EVERYTHING = "loraloom.everything"


def _parameters(command: Command) -> Iterator[click.Parameter]:
    if command.words:
        yield click.Argument([WORDS], nargs=-1, type=click.UNPROCESSED)
    own = command.options()
    yield from flags_of((*own, *terminal.besides(own)))
    if command.borrows:
        yield from borrowed_flags()


def _help_all() -> click.Option:
    def show(ctx: click.Context, parameter: click.Parameter, value: bool) -> None:
        if value and not ctx.resilient_parsing:
            ctx.meta[_EVERYTHING] = True
            click.echo(ctx.get_help())
            ctx.exit()

    return click.Option(
        ["--help_all"], is_flag=True, is_eager=True, expose_value=False, callback=show
    )
