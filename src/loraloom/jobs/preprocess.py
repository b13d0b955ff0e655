"""The job of preparing several styles for training: sizes, captions and triggers in one go."""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, final

from loraloom.data.bucket import Bucketing
from loraloom.data.caption import with_trigger
from loraloom.data.checks.table import examine
from loraloom.data.finding import Finding, some
from loraloom.data.goals import GOALS
from loraloom.data.listing import spelled
from loraloom.data.repair import Kept, LeftOut, original, plan_copy
from loraloom.data.resize import scaled_png, training_size
from loraloom.data.scan import raise_errors
from loraloom.data.source import Source
from loraloom.data.survey import Aim, Survey
from loraloom.errors import DatasetError, OutputError
from loraloom.events import (
    Advanced,
    Event,
    Examined,
    Finished,
    PhaseStarted,
    Planned,
    Saved,
    Warned,
)
from loraloom.jobs.dataset.aim import AimedBase, aimed_base
from loraloom.jobs.dataset.fix import check_destination
from loraloom.jobs.dataset.looking import find_everywhere, look
from loraloom.jobs.ledger import Ledger, key_of
from loraloom.jobs.naming import is_file_safe
from loraloom.jobs.preparing.options import PreprocessOptions as PreprocessOptions
from loraloom.jobs.preparing.styles import Style, name_styles

RECORD: Final = "preprocess.jsonl"
"""The file in each training folder that records what every file of it was made from."""

REPORT: Final = "preprocess.json"
"""The file in each training folder that tells what became of every picture."""

_DONE_HERE: Final = (
    "dataset.trigger_missing",
    "dataset.picture_turned",
    "dataset.caption_mark",
    "dataset.names_apart",
    "dataset.names_capital",
)
"""What asks for nothing because the training folder is written without it."""


def preprocess(
    options: PreprocessOptions, stop: Callable[[], bool] = lambda: False
) -> Iterator[Event]:
    """Write a training folder for each style; yield progress, and what became of the pictures.

    Every style is looked at before anything is written, and what cannot be used stops the job
    with a DatasetError, unless it is to be left out. Files that are there already from the same
    pictures are left alone, so that the job may be killed and started again at any time. The
    sources are never changed.
    """
    started = time.monotonic()
    styles = name_styles(options.styles, options.trigger)
    for style in styles:
        check_destination(options.output_dir / style.name, [style.folder], overwrite=True)
        Ledger(options.output_dir / style.name, RECORD).check_empty()
    base = aimed_base(options.model)
    side = options.resolution or base.resolution
    bucketing = Bucketing(
        resolution=(side, side), step=base.step, smallest=side // 2, largest=side * 2
    )
    yield Planned(job="preprocess", plan=_plan(styles, options, side))
    surveys: list[Survey] = []
    findings: list[Finding] = []
    for style in styles:
        survey = yield from _look(style, options, base, bucketing, stop)
        if survey is None or stop():
            yield _finished(started, ())
            return
        surveys.append(survey)
        findings += examine(survey)
    if not options.skip_unusable:
        raise_errors(findings)
    for each in findings:
        if each.code not in _DONE_HERE:
            yield Warned(code=each.code, details=each.details, severity=each.severity)
    works = [
        _Work(style=style, options=options, survey=survey, bucketing=bucketing)
        for style, survey in zip(styles, surveys, strict=True)
    ]
    for work in works:
        work.check_edited()
    reports: list[dict[str, Any]] = []
    for work in works:
        yield from work.run(stop)
        if not work.done:
            yield _finished(started, ())
            return
        reports.append(work.summary())
    told = {"styles": reports, "resolution": options.resolution, "model": options.model}
    yield Examined(report=told)
    yield _finished(started, tuple(options.output_dir / style.name for style in styles))


def _finished(started: float, outputs: Sequence[Path]) -> Finished:
    seconds = time.monotonic() - started
    return Finished(
        job="preprocess", seconds=seconds, interrupted=not outputs, outputs=tuple(outputs)
    )


def _plan(styles: Sequence[Style], options: PreprocessOptions, side: int) -> dict[str, Any]:
    return {
        "resolution": f"{side}x{side}",
        "styles": [
            {"name": style.name, "train_data_dir": str(style.folder), "trigger": style.trigger}
            for style in styles
        ],
        "output_dir": str(options.output_dir),
    }


def _look(
    style: Style,
    options: PreprocessOptions,
    base: AimedBase,
    bucketing: Bucketing,
    stop: Callable[[], bool],
) -> Generator[Event, None, Survey | None]:
    """Look at a style's pictures; yield progress, and return the survey unless stopped."""
    source = Source(
        folder=style.folder,
        repeats=options.num_repeats,
        recursive=options.recursive,
        caption_column=options.caption_column,
        caption_encoding=options.caption_encoding,
        label=style.name,
    )
    aim = Aim(
        trigger=style.trigger,
        resolution=bucketing.resolution,
        bucketing=bucketing,
        goal=GOALS[options.goal],
        most_enlarged=options.max_enlargement,
        tokens=base.tokens(),
        token_limit=base.token_limit,
    )
    subsets, remarks = find_everywhere([source], options.caption_extension)
    if not subsets:
        raise DatasetError(remarks[0].code, **remarks[0].details)
    phase = f"survey {style.name}"
    return (yield from look(subsets, remarks, aim, options.caption_extension, stop, phase=phase))


@final
@dataclass(kw_only=True)
class _Work:
    """The writing of one training folder, and what came of it."""

    style: Style
    options: PreprocessOptions
    survey: Survey
    bucketing: Bucketing
    done: bool = False

    def __post_init__(self) -> None:
        self._folder = self.options.output_dir / self.style.name
        self._ledger = Ledger(self._folder, RECORD)
        kept, self._left_out = plan_copy(self.survey)
        self._kept = tuple(each for each in kept if not _is_class(each))
        self._class = tuple(each for each in kept if _is_class(each))
        self._outcomes: Counter[str] = Counter()
        self._dropped: tuple[str, ...] = ()
        self._targets = self._named()
        if not self._kept:
            count = len(self.survey.entries)
            raise DatasetError("preprocess.nothing_left", name=self.style.name, count=count)

    def check_edited(self) -> None:
        """Raise OutputError for files changed by hand in folders that are no longer written."""
        if not self._ledger.is_begun():
            return
        with self._ledger.held():
            folders = {".", *(str(Path(name).parent) for name in self._targets)}
            if edited := self._ledger.edited_besides(folders):
                told = {"count": len(edited), "files": some(edited), "folder": self._folder}
                raise OutputError("preprocess.edited_elsewhere", **told)

    def run(self, stop: Callable[[], bool]) -> Iterator[Event]:
        """Write what is not there yet; OutputError where another process is at it."""
        with self._ledger.held():
            yield from self._run(stop)

    def _run(self, stop: Callable[[], bool]) -> Iterator[Event]:
        phase = f"prepare {self.style.name}"
        yield PhaseStarted(phase=phase, total=len(self._kept))
        for done, (kept, name) in enumerate(zip(self._kept, self._targets, strict=True), start=1):
            self._outcomes[self._picture(kept, name)] += 1
            self._caption(kept, name)
            yield Advanced(phase=phase, done=done)
            if stop():
                return
        names = [*self._targets, *(_beside(name) for name in self._targets)]
        self._dropped = self._ledger.drop_others([*names, REPORT])
        text = json.dumps(self._report(), ensure_ascii=False, indent=2) + "\n"
        outcome = self._ledger.put(REPORT, key_of(text.encode()), lambda: text.encode())
        if outcome == "written":
            yield Saved(path=self._folder / REPORT, what="report")
        if self._outcomes["edited"] or self._outcomes["edited caption"]:
            count = self._outcomes["edited"] + self._outcomes["edited caption"]
            details = {"count": count, "folder": self._folder}
            yield Warned(code="preprocess.edited", details=details)
        if self._dropped:
            details = {"count": len(self._dropped), "folder": self._folder}
            yield Warned(code="preprocess.dropped", details=details)
        self.done = True

    def summary(self) -> dict[str, Any]:
        """Return what became of the style."""
        return {
            "name": self.style.name,
            "trigger": self.style.trigger,
            "folder": str(self._folder),
            "images": len(self.survey.entries),
            "written": self._outcomes["written"],
            "unchanged": self._outcomes["unchanged"],
            "edited": self._outcomes["edited"],
            "left_out": [each.entry.name for each in self._left_out],
            "class_pictures": len(self._class),
        }

    def _picture(self, kept: Kept, name: str) -> str:
        picture = kept.entry.look.picture
        assert picture is not None
        size = training_size(picture, self.bucketing)
        key = key_of(original(kept.entry.path), f"{size[0]}x{size[1]}")
        return self._ledger.put(name, key, lambda: scaled_png(kept.entry.path, size))

    def _caption(self, kept: Kept, name: str) -> None:
        # With wildcards any of its lines may be the one that is trained.
        lines = (kept.caption or kept.entry.caption.text).split("\n")
        content = "".join(f"{with_trigger(line, self.style.trigger)}\n" for line in lines).encode()
        outcome = self._ledger.put(_beside(name), key_of(content), lambda: content)
        self._outcomes["edited caption"] += outcome == "edited"

    def _named(self) -> tuple[str, ...]:
        """Return the file of each picture: kohya's folder of repeats and trigger, then its name."""
        trigger = self.style.trigger if is_file_safe(self.style.trigger) else self.style.name
        taken: set[str] = set()
        names: list[str] = []
        for kept in self._kept:
            subset = kept.entry.subset
            parts = map(spelled, kept.entry.path.parent.relative_to(subset.folder).parts)
            stem = "_".join((*parts, kept.target.stem))
            folder = f"{subset.repeats}_{trigger}"
            number, name = 1, f"{folder}/{stem}.png"
            while name.casefold() in taken:
                number += 1
                name = f"{folder}/{stem}-{number}.png"
            taken.add(name.casefold())
            names.append(name)
        return tuple(names)

    def _report(self) -> dict[str, Any]:
        return {
            "trigger": self.style.trigger,
            "resolution": self.bucketing.resolution[0],
            "pictures": [
                {"file": kept.entry.name, "to": name, **self._sizes(kept)}
                for kept, name in zip(self._kept, self._targets, strict=True)
            ],
            "left_out": [_told(each) for each in self._left_out],
            "class_pictures": [each.entry.name for each in self._class],
        }

    def _sizes(self, kept: Kept) -> dict[str, Any]:
        picture = kept.entry.look.picture
        assert picture is not None
        width, height = training_size(picture, self.bucketing)
        return {"from": [picture.width, picture.height], "size": [width, height]}


def _told(left_out: LeftOut) -> dict[str, str]:
    return {"file": left_out.entry.name, "code": left_out.code}


def _is_class(kept: Kept) -> bool:
    return kept.entry.subset.source.regularisation


def _beside(name: str) -> str:
    return str(Path(name).with_suffix(".txt"))
