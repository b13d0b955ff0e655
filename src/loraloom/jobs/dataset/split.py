"""The job of parting pictures into those to train on and those held out to judge by."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from pathlib import PurePosixPath
from typing import Final

from loraloom.data.partition import held_out
from loraloom.data.repair import Kept, original, plan_copy
from loraloom.data.survey import Aim, Survey
from loraloom.events import Advanced, Event, Examined, Finished, PhaseStarted
from loraloom.jobs.dataset.fix import check_destination, record_of
from loraloom.jobs.dataset.looking import look
from loraloom.jobs.dataset.options import SplitOptions as SplitOptions
from loraloom.jobs.dataset.sources import find_places
from loraloom.jobs.ledger import Ledger, key_of

TRAIN: Final = "train"
HELD_OUT: Final = "held_out"


def split(options: SplitOptions, stop: Callable[[], bool] = lambda: False) -> Iterator[Event]:
    """Part the pictures of folders, near duplicates together; write copies where asked to.

    Pictures that cannot be decoded are in neither part, and told. The folders themselves stay as
    they are.
    """
    started = time.monotonic()
    subsets, remarks = find_places(options.place)
    output = options.output_dir
    record: Ledger | None = None
    if output is not None:
        folders = [subset.source.folder for subset in subsets]
        record = record_of(
            output,
            *map(os.path.abspath, folders),
            options.seed,
            options.held_out,
            overwrite=options.overwrite,
        )
        check_destination(output, folders, overwrite=options.overwrite, record=record)
    survey = yield from look(subsets, remarks, Aim(), options.place.caption_extension, stop)
    if survey is not None:
        apart = _held_out(survey, options)
        if record is not None:
            yield from _write(survey, apart, record)
        names = [entry.name for entry in survey.entries if entry.look.picture]
        yield Examined(
            report={
                "seed": options.seed,
                TRAIN: [name for name in names if name not in apart],
                HELD_OUT: [name for name in names if name in apart],
                "left_out": [e.name for e in survey.entries if e.look.fault],
                "output_dir": str(output) if output else None,
            }
        )
    yield Finished(job="split", seconds=time.monotonic() - started, interrupted=survey is None)


def _held_out(survey: Survey, options: SplitOptions) -> frozenset[str]:
    grouped = [[entry.name for entry in group] for group in survey.alike]
    together = {name for group in grouped for name in group}
    usable = (entry.name for entry in survey.entries if entry.look.picture)
    alone = [[name] for name in usable if name not in together]
    return held_out([*grouped, *alone], share=options.held_out, seed=options.seed)


def _write(survey: Survey, apart: frozenset[str], record: Ledger) -> Iterator[Event]:
    """Copy each picture and its caption file as they are into the folder of its part."""
    kept, _ = plan_copy(survey, as_is=True)
    yield PhaseStarted(phase="copy", total=len(kept))
    files: list[str] = []
    with record.held():
        for done, each in enumerate(kept, start=1):
            part = HELD_OUT if each.entry.name in apart else TRAIN
            for name, content in _files(each):
                files.append(f"{part}/{name}")
                record.put(files[-1], key_of(content), lambda content=content: content)
            yield Advanced(phase="copy", done=done)
        record.drop_others(files)
        record.close()


def _files(kept: Kept) -> Iterator[tuple[PurePosixPath, bytes]]:
    target, caption = kept.target, kept.entry.caption
    yield target, original(kept.entry.path)
    if caption.file is not None:
        yield target.with_name(f"{target.stem}{caption.file.suffix}"), original(caption.file)
    elif caption.origin == "row":
        yield target.with_name(f"{target.stem}.txt"), f"{kept.caption}\n".encode()
