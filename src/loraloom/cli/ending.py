"""How the program ends when something is off: what is said, and the exit status."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Final

import click

from loraloom.cli.plain_data import dumps, error_record
from loraloom.cli.session import Session
from loraloom.errors import LoraLoomError, UsageError
from loraloom.jobs.keys import nearest, plain

ABORTED: Final = 130


def tell(error: LoraLoomError, session: Session, outputs: Sequence[Path] = ()) -> int:
    """Say an error, on standard output too where JSON was asked for; return the exit status.

    `outputs` are files that were complete before; they are named as those of a job that ends well.
    """
    text = error.message(session.language)
    print(session.say("cli.error", code=error.code, text=text), file=session.err)
    if session.json:
        record = {"error": error_record(error, session.language), "outputs": outputs}
        print(dumps(record), file=session.out)
    elif session.events != "-":
        for path in outputs:
            print(path, file=session.out)
    return error.exit_code


def understood(error: click.UsageError) -> UsageError:
    """Return what the parser of flags found wrong, as an error of ours."""
    match error:
        case click.NoSuchOption():
            return _unknown(error)
        case click.BadOptionUsage():
            flags = {opt: p for p in _options(error) for opt in (*p.opts, *p.secondary_opts)}
            option = flags.get(error.option_name)
            code = "cli.flag_with_value" if option and option.is_flag else "cli.no_value"
            return UsageError(code, flag=error.option_name)
        case _:
            return UsageError("cli.not_understood", reason=error.format_message())


def _unknown(error: click.NoSuchOption) -> UsageError:
    spelling = plain(error.option_name.lstrip("-"))
    known = {name.lstrip("-") for option in _options(error) for name in option.opts}
    near = nearest(spelling, sorted(known))
    command = error.ctx.command_path.partition(" ")[2] if error.ctx else ""
    if near is None:
        return UsageError("cli.unknown_flag", flag=error.option_name, command=command)
    near = f"-{near}" if len(near) == 1 else f"--{near}"
    return UsageError("cli.unknown_flag_near", flag=error.option_name, near=near)


def _options(error: click.UsageError) -> list[click.Option]:
    parameters = error.ctx.command.params if error.ctx else []
    return [parameter for parameter in parameters if isinstance(parameter, click.Option)]
