"""The job of finding pictures that are nearly the same, and of moving the redundant ones away."""

from __future__ import annotations

import json
import os
import shutil
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Final

from loraloom.data.duplicates import Redundant, redundant
from loraloom.data.survey import Aim, Entry, Survey
from loraloom.errors import OutputError
from loraloom.events import Event, Examined, Finished, Saved
from loraloom.formats.atomic import write_files
from loraloom.jobs.dataset.fix import check_destination
from loraloom.jobs.dataset.looking import look
from loraloom.jobs.dataset.options import DedupeOptions as DedupeOptions
from loraloom.jobs.dataset.sources import find_places

MOVED: Final = "moved.json"
"""The file beside moved pictures that tells where each came from."""


def dedupe(options: DedupeOptions, stop: Callable[[], bool] = lambda: False) -> Iterator[Event]:
    """List the groups of nearly equal pictures; move all but the best of each where asked to.

    Nothing is ever deleted. `stop` is asked after each picture that is looked at; then nothing is
    moved.
    """
    started = time.monotonic()
    subsets, remarks = find_places(options.place)
    output = options.output_dir
    if output is not None:
        folders = [subset.source.folder for subset in subsets]
        check_destination(output, folders, overwrite=options.overwrite)
    survey: Survey | None = None
    for step in look(subsets, remarks, Aim(), options.place.caption_extension, stop):
        if isinstance(step, Survey):
            survey = step
        else:
            yield step
    if survey is not None:
        found = [each for group in survey.alike for each in redundant(group)]
        if output is not None and found:
            yield Saved(path=_move(survey, found, output), what="record")
        yield Examined(report=_report(survey, found, output))
    yield Finished(job="dedupe", seconds=time.monotonic() - started, interrupted=survey is None)


def _report(survey: Survey, found: Sequence[Redundant], output: Path | None) -> dict[str, Any]:
    return {
        "images": len(survey.entries),
        "redundant": sum(len(each.others) for each in found),
        "moved_to": str(output) if output and found else None,
        "groups": [
            {"kept": _told(each.kept), "others": [_told(other) for other in each.others]}
            for each in found
        ],
    }


def _told(entry: Entry) -> dict[str, Any]:
    picture = entry.look.picture
    assert picture is not None
    return {"file": entry.name, "width": picture.width, "height": picture.height}


def _move(survey: Survey, found: Sequence[Redundant], output: Path) -> Path:
    """Move what is redundant; return the record of where it was, which is written first."""
    leaving = [entry for each in found for entry in each.others]
    users = Counter(entry.caption.file for entry in survey.entries)
    users.subtract(Counter(entry.caption.file for entry in leaving))
    moves: dict[Path, Path] = {}
    for entry in leaving:
        target = _free(output, entry, set(moves.values()))
        moves[entry.path] = target
        caption = entry.caption.file
        if caption is not None and not users[caption]:
            moves[caption] = target.with_suffix(caption.suffix)
    record = output / MOVED
    earlier: dict[str, str] = {}
    if record.exists():
        earlier = json.loads(record.read_text(encoding="utf-8"))
    places = {str(target): os.path.abspath(source) for source, target in moves.items()}
    text = json.dumps(earlier | places, ensure_ascii=False, indent=2)
    write_files({record: text.encode()}, overwrite=True)
    try:
        for source, target in moves.items():
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.move(source, target)
    except OSError as error:
        raise OutputError("output.unwritable", path=output, reason=error) from error
    return record


def _free(output: Path, entry: Entry, taken: set[Path]) -> Path:
    """Return where a picture is moved to: its own place, with a number where that is taken."""
    own = output / entry.path.relative_to(entry.subset.source.folder)
    number, target = 1, own
    while target in taken or target.exists():
        number += 1
        target = own.with_name(f"{own.stem}-{number}{own.suffix}")
    return target
