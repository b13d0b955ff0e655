"""Folders found and their pictures looked at, as the first act of every job here."""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence

from loraloom.data.caption_files import extensions_to_read
from loraloom.data.captions import check_extension
from loraloom.data.finding import Finding, finding
from loraloom.data.folders import Subset, find_subsets
from loraloom.data.identity import counted_once
from loraloom.data.source import Source
from loraloom.data.survey import Aim, Survey, take
from loraloom.errors import DatasetError
from loraloom.events import Advanced, Event, PhaseStarted


def find_everywhere(
    sources: Sequence[Source], caption_extension: str | None
) -> tuple[list[Subset], list[Finding]]:
    """Return the subsets of all sources, and what is to be told, a source without any included."""
    extensions = extensions_to_read(caption_extension)
    subsets: list[Subset] = []
    findings: list[Finding] = []
    for source in sources:
        try:
            found, remarks = find_subsets(source)
        except DatasetError as error:
            findings.append(_told(error, source))
        else:
            subsets += found
            findings += remarks
    once, again = counted_once(subsets)
    try:
        check_extension(once, extensions)
    except DatasetError as error:
        return [], [_told(error, once[0].source), *findings, *again]
    return list(once), [*findings, *again]


def _told(error: DatasetError, source: Source) -> Finding:
    return finding(error.code, "error", (str(source.folder),), **error.details)


def look(
    subsets: Sequence[Subset],
    remarks: Sequence[Finding],
    aim: Aim,
    caption_extension: str | None,
    stop: Callable[[], bool],
    *,
    phase: str = "look",
) -> Generator[Event, None, Survey | None]:
    """Look at the pictures of subsets; yield progress, and return the survey unless stopped."""
    total = sum(1 for subset in subsets for _ in subset.pictures())
    if not total:
        return None
    yield PhaseStarted(phase=phase, total=total)
    for step in take(subsets, remarks, aim, caption_extension=caption_extension):
        if isinstance(step, Survey):
            return step
        yield Advanced(phase=phase, done=step)
        if stop():
            break
    return None
