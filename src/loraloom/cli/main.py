"""The program `loraloom`."""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Sequence
from typing import Final

import click

from loraloom.cli.cache import CACHE
from loraloom.cli.command import Command
from loraloom.cli.dataset import DATASET_CHECK, DATASET_DEDUPE, DATASET_SPLIT, DATASET_TAGS
from loraloom.cli.doctor import DOCTOR
from loraloom.cli.ending import ABORTED, tell, understood
from loraloom.cli.group import Group
from loraloom.cli.lora import TELLING
from loraloom.cli.plain_jobs import (
    CAPTION,
    DEMO,
    GENERATE,
    GRID,
    LORA_CONVERT,
    LORA_EXTRACT,
    LORA_FUSE,
    LORA_MERGE,
    LORA_RESIZE,
    REGULARIZE,
)
from loraloom.cli.preprocess import PREPROCESS
from loraloom.cli.session import Session, open_session
from loraloom.cli.train import TRAIN
from loraloom.errors import LoraLoomError, MemoryRanOut, OutputError, ran_out_of_memory

COMMANDS: Final[tuple[Command, ...]] = (
    TRAIN,
    GENERATE,
    GRID,
    CAPTION,
    REGULARIZE,
    DEMO,
    PREPROCESS,
    DATASET_CHECK,
    DATASET_TAGS,
    DATASET_DEDUPE,
    DATASET_SPLIT,
    *CACHE,
    LORA_CONVERT,
    LORA_MERGE,
    LORA_RESIZE,
    LORA_EXTRACT,
    LORA_FUSE,
    *TELLING,
    DOCTOR,
)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the program with these arguments, the process's own if None; return the exit status."""
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")  # a terminal that lacks a letter shows "?"
    session = open_session(arguments, os.environ)
    try:
        status = _run(arguments, session)
        session.out.flush()
        return status
    except LoraLoomError as error:
        return tell(error, session)
    except BrokenPipeError:
        _forget_output()  # Who read it has seen enough.
        return 1
    except OSError as error:
        if error.filename is not None:
            raise
        _forget_output()
        return tell(OutputError("output.stream", reason=error.strerror or error), session)
    except KeyboardInterrupt:
        print(session.say("cli.aborted"), file=session.err)
        return ABORTED
    except (MemoryError, RuntimeError) as error:
        if ran_out_of_memory(error):
            return tell(MemoryRanOut("cli.memory"), session)
        raise


def _forget_output() -> None:
    """Let nothing be flushed into the void at exit."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _run(arguments: list[str], session: Session) -> int:
    root = Group("", COMMANDS, session.language)
    try:
        with root.make_context("loraloom", arguments, obj=session) as context:
            return root.invoke(context) or 0
    except click.exceptions.Exit as done:
        return done.exit_code
    except click.UsageError as error:
        raise understood(error) from error
