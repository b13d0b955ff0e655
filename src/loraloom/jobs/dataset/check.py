"""The job of looking at training folders before anything is trained."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Container, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from loraloom.data.checks.table import examine
from loraloom.data.finding import Finding
from loraloom.data.options import DataOptions
from loraloom.data.survey import Survey
from loraloom.events import Event, Examined, Finished, Saved
from loraloom.jobs.dataset.aim import aim_of, aimed_base
from loraloom.jobs.dataset.fix import check_destination, record_of, write_copy
from loraloom.jobs.dataset.looking import find_everywhere, look
from loraloom.jobs.dataset.options import CheckOptions as CheckOptions
from loraloom.jobs.dataset.options import goal_named
from loraloom.jobs.dataset.report import report
from loraloom.jobs.dataset.sources import name_sources, regularisation_sources, source_like
from loraloom.jobs.dataset.steps import Steps
from loraloom.jobs.keys import keys_of
from loraloom.jobs.ledger import Ledger


def check(options: CheckOptions, stop: Callable[[], bool] = lambda: False) -> Iterator[Event]:
    """Look at all pictures and captions of folders; yield progress, and then what was found.

    Nothing in them is changed; a repaired copy is written where one is asked for. Folders that
    cannot be read are findings like any other. `stop` is asked after each picture; then nothing
    is told.
    """
    started = time.monotonic()
    named = name_sources(options.sources(), source_like(options.data))
    yield from named.notes
    sources = (*named.sources, *regularisation_sources(options.data))
    record = _record(options)
    if options.fix is not None:
        folders = tuple(source.folder for source in sources)
        check_destination(options.fix, folders, overwrite=options.overwrite, record=record)
    base = aimed_base(options.model)
    keep_alpha = options.keep_alpha or options.data.alpha_mask  # they are masks
    aim = aim_of(
        options.data,
        base,
        goal=goal_named(options.goal),
        weighted=options.weighted_captions,
    )
    subsets, findings = find_everywhere(sources, options.data.caption_extension)
    survey = yield from look(subsets, findings, aim, options.data.caption_extension, stop)
    interrupted = bool(subsets) and survey is None
    written: list[Path] = []
    if not interrupted:
        findings = examine(survey) if survey else findings
        told = report(
            survey,
            findings,
            places=[str(place) for place in options.sources()],
            given=_given(options.data, without=named.shared),
            base=base,
            steps=Steps(batch_size=options.train_batch_size, epochs=options.max_train_epochs),
            keep_alpha=keep_alpha,
        )
        yield Examined(report=told)
        for event in _fixed(survey, findings, options, record, stop, keep_alpha=keep_alpha):
            written += [event.path] if isinstance(event, Saved) else []
            yield event if isinstance(event, Event) else Examined(report={**told, "copy": event})
    yield Finished(
        job="check",
        seconds=time.monotonic() - started,
        interrupted=interrupted,
        outputs=tuple(written),
    )


def _record(options: CheckOptions) -> Ledger | None:
    """Return the record of the copy, None where none is asked for."""
    if options.fix is None:
        return None
    places = map(os.path.abspath, options.sources())
    return record_of(options.fix, *places, options.keep_alpha, overwrite=options.overwrite)


def _given(data: DataOptions, *, without: Container[str]) -> dict[str, Any]:
    """Return the options that were named and are not as without them."""
    values = {key.name: (getattr(data, key.name), key.default) for key in keys_of(DataOptions)}
    return {
        name: value
        for name, (value, default) in values.items()
        if name != "train_data_dir" and name not in without and value != default
    }


def _fixed(
    survey: Survey | None,
    findings: Sequence[Finding],
    options: CheckOptions,
    record: Ledger | None,
    stop: Callable[[], bool],
    *,
    keep_alpha: bool,
) -> Iterator[Event | Mapping[str, Any]]:
    """Write the repaired copy where one is asked for and there is anything to copy."""
    if survey is not None and options.fix is not None and record is not None:
        yield from write_copy(
            survey,
            findings,
            options.fix,
            record=record,
            places=options.sources(),
            keep_alpha=keep_alpha,
            stop=stop,
        )
