"""The part of a check that writes a repaired copy; the folders themselves are never changed."""

from __future__ import annotations

import json
import os
import shutil
import tomllib
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from loraloom.data.finding import Finding
from loraloom.data.repair import Kept, LeftOut, plan_copy, png, repaired
from loraloom.data.survey import Survey
from loraloom.errors import OutputError, UsageError
from loraloom.events import Advanced, Event, PhaseStarted, Saved, Warned
from loraloom.jobs.dataset.file import SUFFIX
from loraloom.jobs.toml import literal
from loraloom.text import LANGUAGES, say

REPORT: Final = "repairs.json"
"""The file in the copy that tells what was repaired and what was left out."""


def check_destination(destination: Path, places: Sequence[Path], *, overwrite: bool) -> None:
    """Refuse a destination that is not empty, or that would mix the copy with what is copied."""
    real = destination.resolve()
    for place in places:
        source = place.resolve()
        if real == source or real in source.parents or source in real.parents:
            raise UsageError("fix.same_folder", destination=destination, source=place)
    if destination.exists() and not destination.is_dir():
        raise OutputError("fix.not_folder", path=destination)
    if destination.is_dir() and any(destination.iterdir()) and not overwrite:
        raise OutputError("fix.not_empty", path=destination)


def write_copy(
    survey: Survey,
    findings: Sequence[Finding],
    destination: Path,
    *,
    places: Sequence[Path],
    keep_alpha: bool,
    stop: Callable[[], bool],
) -> Iterator[Event | Mapping[str, Any]]:
    """Write the repaired copy and its report; yield progress, and the summary of a whole copy.

    Nothing is written where nothing could be kept. If asked to stop, the copy is left without its
    report, which is written last.
    """
    kept, left_out = plan_copy(survey, keep_alpha=keep_alpha)
    if not kept:
        yield Warned(code="fix.nothing_left", details={"count": len(left_out)})
        return
    yield PhaseStarted(phase="fix", total=len(kept))
    for done, each in enumerate(kept, start=1):
        try:
            _write(each, destination, keep_alpha=keep_alpha)
        except OSError as error:
            raise OutputError("output.unwritable", path=destination, reason=error) from error
        yield Advanced(phase="fix", done=done)
        if stop():
            return
    written = [*_dataset_files(kept, destination, places), destination / REPORT]
    _write_text(written[-1], _report(kept, left_out, findings, places))
    for path in written:
        yield Saved(path=path, what="copy")
    yield {
        "folder": str(destination),
        "kept": len(kept),
        "changed": sum(bool(each.changes) for each in kept),
        "left_out": [each.entry.name for each in left_out],
        "report": str(written[-1]),
    }


def _write(kept: Kept, destination: Path, *, keep_alpha: bool) -> None:
    target = destination / kept.target
    target.parent.mkdir(parents=True, exist_ok=True)
    if kept.is_decoded:
        target.write_bytes(png(repaired(kept.entry.path, keep_alpha=keep_alpha)))
    else:
        shutil.copyfile(kept.entry.path, target)
    if kept.caption:
        target.with_name(f"{target.stem}.txt").write_text(f"{kept.caption}\n", encoding="utf-8")


def _report(
    kept: Sequence[Kept],
    left_out: Sequence[LeftOut],
    findings: Sequence[Finding],
    places: Sequence[Path],
) -> str:
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
    return json.dumps(content, ensure_ascii=False, indent=2) + "\n"


def _write_text(path: Path, text: str) -> None:
    try:
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise OutputError("output.unwritable", path=path, reason=error) from error


def _dataset_files(
    kept: Sequence[Kept], destination: Path, places: Sequence[Path]
) -> Iterator[Path]:
    """Write data set files anew, their folders being those of the copy."""
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
            path = destination / place.name
            _write_text(path, "\n".join(_lines(content, tops)) + "\n")
            yield path


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
