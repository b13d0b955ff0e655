"""How far a job on adapter files has come, and where it may be stopped."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping
from contextlib import closing
from pathlib import Path
from typing import TypeVar

from loraloom.adapters.adapter import Adapter
from loraloom.adapters.span import Span
from loraloom.events import Advanced, Event, Finished, PhaseStarted
from loraloom.formats.atomic import Content, writing

_Item = TypeVar("_Item")
_MEGABYTE = 1 << 20


def collected(
    phase: str, items: Iterable[_Item], total: int | None, stop: Callable[[], bool]
) -> Generator[Event, None, list[_Item] | None]:
    """Yield how many items there are so far; return all of them, None if asked to stop before."""
    yield PhaseStarted(phase=phase, total=total)
    found: list[_Item] = []
    for item in items:
        found.append(item)
        yield Advanced(phase=phase, done=len(found))
        if stop():
            return None
    return found


def awaited(
    phase: str,
    steps: Generator[None, None, _Item],
    total: int | None,
    stop: Callable[[], bool],
) -> Generator[Event, None, _Item | None]:
    """Yield how many steps were made; return what they come to, None if asked to stop before."""
    done = 0
    while True:
        try:
            next(steps)
        except StopIteration as end:
            return end.value
        if done == 0:
            yield PhaseStarted(phase=phase, total=total)
        done += 1
        yield Advanced(phase=phase, done=done)
        if stop():
            return None


def written(
    contents: Mapping[Path, Content],
    size: int,
    stop: Callable[[], bool],
    *,
    overwrite: bool,
    stale: Iterable[Path] = (),
) -> Generator[Event, None, bool]:
    """Write files whole or not at all, yielding the megabytes so far; return whether it did.

    `size` is how many bytes they will have together.
    """
    yield PhaseStarted(phase="write", total=-(-size // _MEGABYTE))
    done = 0
    with closing(writing(contents, overwrite=overwrite, stale=tuple(stale))) as blocks:
        for block in blocks:
            before, done = done // _MEGABYTE, done + block
            if done // _MEGABYTE > before:
                yield Advanced(phase="write", done=done // _MEGABYTE)
            if stop():
                return False
    return True


def places_of(adapters: Mapping[str, Adapter]) -> int | None:
    """Return at how many weights there is something to do; None if some may have to be cut."""
    places = {place for adapter in adapters.values() for place in adapter.deltas}
    return None if any(isinstance(place, Span) for place in places) else len(places)


def looked_at(adapters: Mapping[str, Adapter]) -> int | None:
    """Return how many weights all adapters change, each counted apart; None as in `places_of`."""
    counts = [places_of({name: adapter}) for name, adapter in adapters.items()]
    return None if None in counts else sum(count or 0 for count in counts)


def stopped(job: str, started: float) -> Iterator[Event]:
    """Yield the end of a job that was asked to stop and has written nothing."""
    yield Finished(job=job, seconds=time.monotonic() - started, interrupted=True)
