"""An adapter file at another rank."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

from loraloom.composing.resizing import resize_places, resized
from loraloom.events import Event, Finished, Saved
from loraloom.formats.files import read_adapter
from loraloom.jobs.lora.expressing import expressed
from loraloom.jobs.lora.files import warnings_of
from loraloom.jobs.lora.loss import Loss
from loraloom.jobs.lora.model_files import open_base
from loraloom.jobs.lora.options import ResizeOptions
from loraloom.jobs.lora.output import check_output
from loraloom.jobs.lora.progress import collected, stopped
from loraloom.jobs.lora.weights import truncation


def resize(options: ResizeOptions, stop: Callable[[], bool] = lambda: False) -> Iterator[Event]:
    """Give every LoRA in an adapter another rank; yield the share of energy kept at each weight."""
    started = time.monotonic()
    loss = Loss.of(options.loss)
    truncated = truncation(options.rank, options.max_rank)
    bases = [options.basis.base]
    check_output(options.output, [options.source], force=options.file.force, bases=bases)
    adapter = read_adapter(options.source, family=options.kin.stated)
    yield from warnings_of({"": adapter})
    places = resize_places(adapter, truncated)
    made = yield from collected("resize", places, len(adapter.deltas), stop)
    if made is None:
        yield from stopped("lora resize", started)
        return
    composition = resized(made, adapter, truncated)
    base = open_base(options.basis.base)
    path, to = options.output, options.format.to
    done = yield from expressed(composition, path, to, options.file, loss, base, stop)
    if not done:
        yield from stopped("lora resize", started)
        return
    yield Saved(path=options.output, what="adapter")
    seconds = time.monotonic() - started
    yield Finished(job="lora resize", seconds=seconds, outputs=(options.output,))
