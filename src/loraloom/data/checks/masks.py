"""What is looked for in masks."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from loraloom.data.checks.check import Noticed
from loraloom.data.survey import Survey


def faulty(code: str) -> Callable[[Survey], Iterator[Noticed]]:
    """Return what finds masks that cannot be used for the reason `code`."""

    def detect(survey: Survey) -> Iterator[Noticed]:
        faults = [fault for fault in survey.mask_faults if fault and fault.code == code]
        if faults:
            told = ("reason", "size", "picture", "folder")
            details = {name: faults[0].details[name] for name in told if name in faults[0].details}
            files = dict.fromkeys(str(fault.details.get("files", "")) for fault in faults)
            yield Noticed(files=tuple(filter(None, files)), details=details)

    return detect
