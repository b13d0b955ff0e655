"""The part of a check that writes a repaired copy; the folders themselves are never changed."""

from __future__ import annotations

import json
import os
import tomllib
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from loraloom.data.finding import Finding
from loraloom.data.repair import Kept, LeftOut, original, plan_copy, png, repaired
from loraloom.data.survey import Survey
from loraloom.errors import OutputError, UsageError
from loraloom.events import Advanced, Event, PhaseStarted, Saved, Warned
from loraloom.jobs.dataset.file import SUFFIX
from loraloom.jobs.ledger import Ledger, key_of
from loraloom.jobs.toml import literal
from loraloom.text import LANGUAGES, say

RECORD: Final = "copying.jsonl"
"""The file in a copy that is not whole yet, by which it can be taken up."""

REPORT: Final = "repairs.json"
"""The file in the copy that tells what was repaired and what was left out."""


def check_destination(
    destination: Path, places: Sequence[Path], *, overwrite: bool, record: Ledger | None = None
) -> None:
    """Refuse a destination that is not empty, or that would mix the copy with what is copied.

    One that holds the begun `record` of the very work that is to be done is taken up.
    """
    real = destination.resolve()
    for place in places:
        source = place.resolve()
        if real == source or real in source.parents or source in real.parents:
            raise UsageError("fix.same_folder", destination=destination, source=place)
    if destination.exists() and not destination.is_dir():
        raise OutputError("fix.not_folder", path=destination)
    is_begun = record is not None and record.is_begun()
    if destination.is_dir() and any(destination.iterdir()) and not (overwrite or is_begun):
        raise OutputError("fix.not_empty", path=destination)


def write_copy(
    survey: Survey,
    findings: Sequence[Finding],
    destination: Path,
    *,
    record: Ledger,
    places: Sequence[Path],
    keep_alpha: bool,
    stop: Callable[[], bool],
) -> Iterator[Event | Mapping[str, Any]]:
    """Write the repaired copy and its report; yield progress, and the summary of a whole copy.

    Nothing is written where nothing could be kept. If asked to stop, or killed, the copy is left
    without its report, which is written last, and with its `record`, by which it can be taken up.
    """
    kept, left_out = plan_copy(survey, keep_alpha=keep_alpha)
    if not kept:
        yield Warned(code="fix.nothing_left", details={"count": len(left_out)})
        return
    yield PhaseStarted(phase="fix", total=len(kept))
    contents = {
        **_dataset_files(kept, destination, places),
        REPORT: _report(kept, left_out, findings, places),
    }
    with record.held():
        files: list[str] = []
        outcomes: Counter[str] = Counter()
        for done, each in enumerate(kept, start=1):
            for name, key, make in _files(each, keep_alpha=keep_alpha):
                files.append(name)
                outcomes[record.put(name, key, make)] += 1
            yield Advanced(phase="fix", done=done)
            if stop():
                return
        record.drop_others([*files, *contents])
        for name, text in contents.items():
            outcomes[record.put(name, key_of(text), lambda text=text: text)] += 1
        record.close()
    if outcomes["edited"]:
        details = {"count": outcomes["edited"], "folder": destination}
        yield Warned(code="preprocess.edited", details=details)
    written = [destination / name for name in contents]
    for path in written:
        yield Saved(path=path, what="copy")
    yield {
        "folder": str(destination),
        "kept": len(kept),
        "changed": sum(bool(each.changes) for each in kept),
        "left_out": [each.entry.name for each in left_out],
        "report": str(written[-1]),
    }


def record_of(destination: Path, *made_of: object, overwrite: bool) -> Ledger:
    """Return the record of a copy that is being written, and of what it is made."""
    purpose = json.dumps([str(each) for each in made_of])
    return Ledger(destination, RECORD, purpose=purpose, overwrite=overwrite)


def _files(kept: Kept, *, keep_alpha: bool) -> Iterator[tuple[str, str, Callable[[], bytes]]]:
    """Yield the files of a picture in the copy: name, what they are made of, and their content."""
    source, target = kept.entry.path, kept.target
    pixels = original(source)
    if kept.is_decoded:
        key = key_of(pixels, f"{kept.changes}")
        yield str(target), key, lambda: png(repaired(source, keep_alpha=keep_alpha))
    else:
        yield str(target), key_of(pixels), lambda: pixels
    if kept.caption:
        text = f"{kept.caption}\n".encode()
        yield str(target.with_name(f"{target.stem}.txt")), key_of(text), lambda: text


def _report(
    kept: Sequence[Kept],
    left_out: Sequence[LeftOut],
    findings: Sequence[Finding],
    places: Sequence[Path],
) -> bytes:
    codes = {each.code for each in left_out}
    told = {each.code: each.details for each in findings if each.code in codes}
    content = {
        "from": [str(place) for place in places],
        "kept": len(kept),
        "changed": [
            {"file": each.entry.name, "to": str(each.target), "changes": list(each.changes)}
            for each in kept
            if each.changes
        ],
        "left_out": [{"file": each.entry.name, "code": each.code} for each in left_out],
        "why": {
            code: {language: say(code, language, **details) for language in LANGUAGES}
            for code, details in told.items()
        },
    }
    text = json.dumps(content, ensure_ascii=False, indent=2) + "\n"
    return text.encode("utf-8", "replace")  # folders may have names that are no UTF-8


def _dataset_files(
    kept: Sequence[Kept], destination: Path, places: Sequence[Path]
) -> Mapping[str, bytes]:
    """Return data set files anew, their folders being those of the copy."""
    found: dict[str, bytes] = {}
    tops: dict[Path, Path] = {}
    for each in kept:
        source = each.entry.subset.source.folder
        inside = each.entry.path.parent.relative_to(source)
        top = each.target.parent
        for _ in inside.parts:
            top = top.parent
        tops[source] = destination / top
    for place in places:
        if place.suffix.lower() == SUFFIX:
            content = tomllib.loads(place.read_text(encoding="utf-8-sig"))
            found[place.name] = ("\n".join(_lines(content, tops)) + "\n").encode()
    return found


def _lines(content: Mapping[str, Any], tops: Mapping[Path, Path]) -> Iterator[str]:
    yield from ("[general]", *_pairs(content.get("general", {})))
    for dataset in content["datasets"]:
        yield from ("", "[[datasets]]", *_pairs(dataset))
        for subset in dataset["subsets"]:
            folder = Path(subset["image_dir"])
            if folder in tops:
                moved = {**subset, "image_dir": os.fspath(tops[folder])}
                yield from ("", "[[datasets.subsets]]", *_pairs(moved))


def _pairs(table: Mapping[str, Any]) -> Iterator[str]:
    for key, value in table.items():
        if key != "subsets":
            yield f"{key} = {literal(value)}"
