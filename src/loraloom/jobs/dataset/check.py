"""The job of looking at training folders before anything is trained."""

from __future__ import annotations

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
from loraloom.jobs.dataset.fix import check_destination, write_copy
from loraloom.jobs.dataset.looking import find_everywhere, look
from loraloom.jobs.dataset.options import CheckOptions as CheckOptions
from loraloom.jobs.dataset.options import goal_named
from loraloom.jobs.dataset.report import report
from loraloom.jobs.dataset.sources import name_sources, regularisation_sources, source_like
from loraloom.jobs.dataset.steps import Steps
from loraloom.jobs.keys import keys_of


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
    if options.fix is not None:
        folders = (source.folder for source in sources)
        check_destination(options.fix, tuple(folders), overwrite=options.overwrite)
    base = aimed_base(options.model)
    aim = aim_of(options.data, base, goal=goal_named(options.goal))
    subsets, findings = find_everywhere(sources, options.data.caption_extension)
    survey: Survey | None = None
    for step in look(subsets, findings, aim, options.data.caption_extension, stop):
        if isinstance(step, Survey):
            survey = step
        else:
            yield step
    interrupted = bool(subsets) and survey is None
    written: list[Path] = []
    if not interrupted:
        findings = examine(survey) if survey else findings
        told = report(
            survey,
            findings,
            places=[str(place) for place in options.sources()],
            given=_given(options.data, without=named.shared),
            counted_by=base.name if base.tokens else None,
            steps=Steps(batch_size=options.train_batch_size, epochs=options.max_train_epochs),
            keep_alpha=options.keep_alpha,
        )
        yield Examined(report=told)
        for event in _fixed(survey, findings, options, stop):
            written += [event.path] if isinstance(event, Saved) else []
            yield event if isinstance(event, Event) else Examined(report={**told, "copy": event})
    yield Finished(
        job="check",
        seconds=time.monotonic() - started,
        interrupted=interrupted,
        outputs=tuple(written),
    )


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
    stop: Callable[[], bool],
) -> Iterator[Event | Mapping[str, Any]]:
    """Write the repaired copy where one is asked for and there is anything to copy."""
    if survey is not None and options.fix is not None:
        yield from write_copy(
            survey,
            findings,
            options.fix,
            places=options.sources(),
            keep_alpha=options.keep_alpha,
            stop=stop,
        )
