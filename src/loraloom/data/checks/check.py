"""One thing to look for."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from loraloom.data.finding import Finding, Severity, finding
from loraloom.data.survey import Entry, Survey


@dataclass(frozen=True, kw_only=True)
class Noticed:
    """Files that something was noticed about, and what fills its sentence besides."""

    files: tuple[str, ...]
    details: dict[str, object]


@dataclass(frozen=True, kw_only=True)
class Check:
    """What is looked for, by whom, and how bad it is; its sentence and its fix are worded in the
    catalogue under `code`.
    """

    code: str
    severity: Severity
    detect: Callable[[Survey], Iterable[Noticed]]

    def findings(self, survey: Survey) -> Iterator[Finding]:
        """Yield what was found, if anything."""
        for noticed in self.detect(survey):
            yield finding(self.code, self.severity, noticed.files, **noticed.details)


def noticed(entries: Iterable[Entry], **details: object) -> Iterator[Noticed]:
    """Yield one remark about all these pictures, none where there are none."""
    files = tuple(entry.name for entry in entries)
    if files:
        yield Noticed(files=files, details=details)
