"""A name under which commands are found: the program itself, and `lora`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import click

from loraloom.cli import session as terminal
from loraloom.cli.columns import definitions, wrapped
from loraloom.cli.command import Command
from loraloom.cli.flags import flags_of
from loraloom.errors import UsageError
from loraloom.jobs.keys import nearest
from loraloom.text import say


class Group(click.Group):
    """Finds commands by their first word behind a prefix, building only the one asked for."""

    def __init__(self, prefix: str, commands: Sequence[Command], language: str) -> None:
        super().__init__(
            prefix or "loraloom",
            params=[*flags_of(terminal.KEYS), *(() if prefix else (_version(),))],
            no_args_is_help=False,
            invoke_without_command=True,
            callback=click.pass_context(_help_alone),
            context_settings={"help_option_names": ["-h", "--help", "--help-all"]},
        )
        self._prefix = f"{prefix} " if prefix else ""
        self._members = [c for c in commands if c.name.startswith(self._prefix)]
        self._language = language

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(dict.fromkeys(self._first(member) for member in self._members))

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        name = self._prefix + cmd_name
        inside = [member for member in self._members if member.name.startswith(f"{name} ")]
        if inside:
            return Group(name, inside, self._language)
        found = next((member for member in self._members if member.name == name), None)
        return found.built(self._language) if found else None

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        command = self.get_command(ctx, args[0])
        if command is not None:
            return args[0], command, args[1:]
        known = self.list_commands(ctx)
        near = nearest(args[0], known)
        if near is None:
            raise UsageError("cli.unknown_command", word=args[0], known=", ".join(known))
        raise UsageError("cli.unknown_command_near", word=args[0], near=near)

    def format_help(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        usage = f"loraloom {self._prefix}COMMAND ..."
        rows = [(member.name, say(member.code, self._language)) for member in self._members]
        lines = [
            say("cli.usage", self._language, usage=usage),
            "",
            *([] if self._prefix else [*wrapped(say("cli.about", self._language), 80), ""]),
            *definitions(rows, width=80),
            "",
            *wrapped(say("cli.about.more", self._language, example=self._members[0].name), 80),
        ]
        formatter.write("\n".join(lines) + "\n")

    def _first(self, member: Command) -> str:
        return member.name.removeprefix(self._prefix).partition(" ")[0]


def _help_alone(ctx: click.Context, **parameters: Any) -> None:
    terminal.check(parameters)
    if ctx.invoked_subcommand is None:
        click.echo(ctx.get_help())


def _version() -> click.Option:
    def show(ctx: click.Context, parameter: click.Parameter, value: bool) -> None:
        if value and not ctx.resilient_parsing:
            from importlib.metadata import version  # which takes longer than all of click

            click.echo(f"loraloom {version('loraloom')}")
            ctx.exit()

    return click.Option(
        ["--version"], is_flag=True, is_eager=True, expose_value=False, callback=show
    )
