"""The job of finding pictures that are nearly the same, and of moving the redundant ones away."""

from __future__ import annotations

import json
import os
import shutil
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from loraloom.data.caption_files import EXTENSIONS, caption_files
from loraloom.data.duplicates import Redundant, redundant
from loraloom.data.listing import composed, list_folder
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
    survey = yield from look(subsets, remarks, Aim(), options.place.caption_extension, stop)
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
    users = Counter(file for entry in survey.entries for file in _captions(entry))
    users.subtract(Counter(file for entry in leaving for file in _captions(entry)))
    moves: dict[Path, Path] = {}
    for entry in leaving:
        target = _free(output, entry, set(moves.values()))
        moves[entry.path] = target
        for name in entry.subset.further.get(entry.path, ()):
            moves[name] = _numbered(target.with_name(name.name), set(moves.values()))
        for caption in _captions(entry):
            if not users[caption]:
                whose = next((path for path in moves if _belongs(caption, path)), entry.path)
                moves[caption] = moves[whose].with_suffix(caption.suffix)
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
            _put(source, target, moves)
    except OSError as error:
        raise OutputError("output.unwritable", path=output, reason=error) from error
    return record


def _put(source: Path, target: Path, moves: Mapping[Path, Path]) -> None:
    """Move a file; a link is made anew, so that it still leads to its file wherever that is."""
    if not source.is_symlink():
        shutil.move(source, target)
        return
    file = Path(os.path.realpath(source))
    places = {Path(os.path.realpath(path.parent), path.name): moves[path] for path in moves}
    target.symlink_to(os.path.abspath(places.get(file, file)))
    source.unlink()


def _captions(entry: Entry) -> tuple[Path, ...]:
    """Return the caption files of a picture, those of its further names among them."""
    own = entry.caption
    files = [*([own.file] if own.file else ()), *own.rivals]
    for name in entry.subset.further.get(entry.path, ()):
        extensions = entry.subset.caption_extensions or EXTENSIONS
        beside = caption_files(list_folder(name.parent), extensions)
        files += beside.get(composed(name.stem), ())
    return tuple(dict.fromkeys(files))


def _belongs(caption: Path, picture: Path) -> bool:
    """Tell whether a caption file lies beside a picture and has its name."""
    same = os.path.realpath(caption.parent) == os.path.realpath(picture.parent)
    return same and composed(caption.stem) == composed(picture.stem)


def _free(output: Path, entry: Entry, taken: set[Path]) -> Path:
    """Return where a picture is moved to: its own place, with a number where that is taken."""
    return _numbered(output / entry.path.relative_to(entry.subset.source.folder), taken)


def _numbered(own: Path, taken: set[Path]) -> Path:
    number, target = 1, own
    while target in taken or target.exists():
        number += 1
        target = own.with_name(f"{own.stem}-{number}{own.suffix}")
    return target
