"""The jobs of looking after the cache."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from itertools import groupby
from typing import Any, Final

from loraloom.data.cached_files import Entry, entries, remove, superfluous, title
from loraloom.errors import UsageError
from loraloom.jobs.cache_options import CacheListOptions, CachePruneOptions, cache_folder

_DAY: Final = 86400.0


def list_cache(options: CacheListOptions) -> Mapping[str, Any]:
    """Return what the cache holds, by image encoder; `used` is seconds since 1970."""
    folder = cache_folder(options.cache_dir)
    found = list(entries(folder))
    groups = [(encoder, list(group)) for encoder, group in groupby(found, _encoder)]
    return {
        "cache_dir": str(folder),
        **_total(found),
        "encoders": [
            {
                "encoder": encoder,
                "base": next((name for entry in group if (name := title(entry))), ""),
                **_total(group),
                "used": max(entry.used for entry in group),
            }
            for encoder, group in groups
        ],
    }


def prune_cache(options: CachePruneOptions) -> Mapping[str, Any]:
    """Remove what is superfluous, and tell what; nothing is removed in a dry run.

    UsageError unless something was chosen; OutputError for a file that cannot be removed.
    """
    if not options.all and options.unused_days is None and options.max_size is None:
        raise UsageError("cache.nothing_chosen")
    folder = cache_folder(options.cache_dir)
    found = list(entries(folder))
    leaving = superfluous(
        found,
        now=time.time(),
        everything=options.all,
        unused_for=None if options.unused_days is None else options.unused_days * _DAY,
        most=options.max_size,
    )
    if not options.dry_run:
        for entry in leaving:
            remove(entry)
    chosen = {entry.path for entry in leaving}
    staying = [entry for entry in found if entry.path not in chosen]
    return {
        "cache_dir": str(folder),
        "dry_run": options.dry_run,
        "removed": _total(leaving),
        "left": _total(staying),
    }


def _encoder(entry: Entry) -> str:
    return entry.encoder


def _total(found: Sequence[Entry]) -> dict[str, int]:
    return {"files": len(found), "bytes": sum(entry.size for entry in found)}
