"""Folders found and their pictures looked at, as the first act of every job here."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from loraloom.data.caption_files import extensions_to_read
from loraloom.data.captions import check_extension
from loraloom.data.finding import Finding, finding
from loraloom.data.folders import Subset, find_subsets
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
            check_extension(found, extensions)
        except DatasetError as error:
            files = (str(source.folder),)
            findings.append(finding(error.code, "error", files, **error.details))
        else:
            subsets += found
            findings += remarks
    return subsets, findings


def look(
    subsets: Sequence[Subset],
    remarks: Sequence[Finding],
    aim: Aim,
    caption_extension: str | None,
    stop: Callable[[], bool],
    *,
    phase: str = "look",
) -> Iterator[Event | Survey]:
    """Look at the pictures of subsets; yield progress, and the survey unless stopped."""
    total = sum(1 for subset in subsets for _ in subset.pictures())
    if not total:
        return
    yield PhaseStarted(phase=phase, total=total)
    for step in take(subsets, remarks, aim, caption_extension=caption_extension):
        if isinstance(step, Survey):
            yield step
            return
        yield Advanced(phase=phase, done=step)
        if stop():
            return
