"""An adapter file at another rank."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

from loraloom.composing.resizing import resize_places, resized
from loraloom.events import Event, Finished, Saved
from loraloom.formats.files import read_adapter
from loraloom.jobs.lora.files import check_output, measures_of, warnings_of, write
from loraloom.jobs.lora.options import ResizeOptions
from loraloom.jobs.lora.progress import collected, stopped
from loraloom.jobs.lora.weights import truncation


def resize(options: ResizeOptions, stop: Callable[[], bool] = lambda: False) -> Iterator[Event]:
    """Give every LoRA in an adapter another rank; yield the share of energy kept at each weight."""
    started = time.monotonic()
    truncated = truncation(options.rank, options.max_rank)
    check_output(options.output, [options.source], force=options.file.force)
    adapter = read_adapter(options.source)
    yield from warnings_of({"": adapter})
    places = resize_places(adapter, truncated)
    made = yield from collected("resize", places, len(adapter.deltas), stop)
    if made is None:
        yield from stopped("lora resize", started)
        return
    composition = resized(made, adapter, truncated)
    write(composition.adapter, options.output, options.format.to, options.file)
    yield from measures_of(composition)
    yield Saved(path=options.output, what="adapter")
    seconds = time.monotonic() - started
    yield Finished(job="lora resize", seconds=seconds, outputs=(options.output,))
