"""The commands that look after the cache: `cache list` and `cache prune`."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from typing import Any, Final

from loraloom.cli.columns import table
from loraloom.cli.session import Session
from loraloom.cli.telling import Telling


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


CACHE: Final = (
    Telling(
        options="cache_options:CacheListOptions",
        job="cache:list_cache",
        lines=_list_lines,
    ).command("cache list"),
    Telling(
        options="cache_options:CachePruneOptions",
        job="cache:prune_cache",
        lines=_prune_lines,
    ).command("cache prune"),
)
