"""The commands that look after the cache: `cache list` and `cache prune`."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Any, Final

from loraloom.cli.columns import table
from loraloom.cli.command import Command, Request
from loraloom.cli.records import dumps
from loraloom.cli.session import Session
from loraloom.cli.words import given_to
from loraloom.jobs.cache_options import CacheListOptions, CachePruneOptions
from loraloom.jobs.keys import keys_of
from loraloom.jobs.settling import settle
from loraloom.options import AbstractOptions

_Job = Callable[[Any], Mapping[str, Any]]
_Lines = Callable[[Mapping[str, Any], Session], Iterator[str]]


def _list(options: CacheListOptions) -> Mapping[str, Any]:
    from loraloom.jobs.cache import list_cache

    return list_cache(options)


def _prune(options: CachePruneOptions) -> Mapping[str, Any]:
    from loraloom.jobs.cache import prune_cache

    return prune_cache(options)


def _list_lines(told: Mapping[str, Any], session: Session) -> Iterator[str]:
    say = session.say
    size = _size(told["bytes"])
    yield say("cache.total", folder=told["cache_dir"], count=told["files"], size=size)
    columns = ("base", "encoder", "files", "size", "used")
    heads = [say(f"cache.column.{name}") for name in columns]
    rows = [
        (
            each["base"] or "?",
            each["encoder"],
            str(each["files"]),
            _size(each["bytes"]),
            time.strftime("%Y-%m-%d", time.localtime(each["used"])),
        )
        for each in told["encoders"]
    ]
    yield from table([heads, *rows], indent="  ") if rows else ()


def _prune_lines(told: Mapping[str, Any], session: Session) -> Iterator[str]:
    removed, left = told["removed"], told["left"]
    yield session.say(
        "cache.would_prune" if told["dry_run"] else "cache.pruned",
        count=removed["files"],
        size=_size(removed["bytes"]),
        left=left["files"],
        left_size=_size(left["bytes"]),
    )


def _size(count: int) -> str:
    return f"{count / 2**20:.1f} MiB"


def _run(
    options: type[AbstractOptions], job: _Job, lines: _Lines, session: Session, request: Request
) -> int:
    told = job(settle(options, given_to(keys_of(options), (), request)))
    if session.json:
        print(dumps(told), file=session.out)
    else:
        for line in lines(told, session):
            print(line, file=session.out)
    return 0


def _command(name: str, options: type[AbstractOptions], job: _Job, lines: _Lines) -> Command:
    return Command(
        name=f"cache {name}",
        options=partial(keys_of, options),
        run=partial(_run, options, job, lines),
    )


CACHE: Final = (
    _command("list", CacheListOptions, _list, _list_lines),
    _command("prune", CachePruneOptions, _prune, _prune_lines),
)
