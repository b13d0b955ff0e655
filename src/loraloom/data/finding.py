"""Something noticed in a training folder that its owner should know."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from itertools import islice
from typing import Literal, TypeAlias, final

Severity: TypeAlias = Literal["error", "warning", "note"]

_SHOWN = 3


@dataclass(frozen=True, kw_only=True)
class Finding:
    """A remark worded in the catalogue by `code`, whose fields `details` fills.

    An "error" says that the folder cannot be trained on as it is; a "warning" asks to be looked
    at; a "note" asks for nothing. `files` are all the names it is about.
    """

    code: str
    severity: Severity
    details: Mapping[str, object] = field(default_factory=dict[str, object])
    files: tuple[str, ...] = ()


def finding(code: str, severity: Severity, files: Iterable[str], /, **details: object) -> Finding:
    """Return a finding about files; its details have their `count` and the first few `files`."""
    files = tuple(files)
    told = {"count": len(files), "files": some(files), **details}
    return Finding(code=code, severity=severity, details=told, files=files)


@final
class Tally:
    """Collects remarks file by file, and tells each kind once, with a count and a few names."""

    def __init__(self) -> None:
        self._names: dict[tuple[Severity, str, tuple[tuple[str, object], ...]], list[str]] = {}

    def warn(self, code: str, name: str, **details: object) -> None:
        """Note `name` under a warning; equal `code` and `details` are told together."""
        self._add("warning", code, name, details)

    def note(self, code: str, name: str, **details: object) -> None:
        """Note `name` under a remark that asks for nothing."""
        self._add("note", code, name, details)

    def findings(self) -> tuple[Finding, ...]:
        """Return one finding per kind, in the order of their first appearance."""
        return tuple(
            finding(code, severity, names, **dict(details))
            for (severity, code, details), names in self._names.items()
        )

    def _add(self, severity: Severity, code: str, name: str, details: dict[str, object]) -> None:
        key = (severity, code, tuple(sorted(details.items())))
        self._names.setdefault(key, []).append(name)


def some(names: Iterable[str]) -> str:
    """Return the first few names, joined by commas, with an ellipsis where there are more."""
    names = tuple(names)
    shown = ", ".join(islice(names, _SHOWN))
    return f"{shown}, …" if len(names) > _SHOWN else shown
