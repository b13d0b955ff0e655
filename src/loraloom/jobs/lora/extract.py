"""What sets two models apart, written as an adapter file."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

from loraloom.adapters.card import Card
from loraloom.adapters.site import PARTS
from loraloom.composing.extraction import extract_sites
from loraloom.composing.fit import Composition
from loraloom.errors import ModelError, UsageError
from loraloom.events import Event, Finished, Saved
from loraloom.jobs.lora.expressing import expressed
from loraloom.jobs.lora.foresight import require_places
from loraloom.jobs.lora.loss import Loss
from loraloom.jobs.lora.model_files import ModelFiles
from loraloom.jobs.lora.options import ExtractOptions
from loraloom.jobs.lora.output import check_output
from loraloom.jobs.lora.progress import collected, stopped
from loraloom.jobs.lora.weights import truncation


def extract(options: ExtractOptions, stop: Callable[[], bool] = lambda: False) -> Iterator[Event]:
    """Write the adapter that makes the tuned model of the original; yield how well it does."""
    started = time.monotonic()
    loss = Loss.of(options.loss)
    tuned, original = ModelFiles.at(options.tuned), ModelFiles.at(options.original)
    check_output(options.output, [tuned.path, original.path], force=options.file.force)
    unknown = [part for part in options.parts if part not in PARTS]
    if unknown:
        raise UsageError("lora.no_part", name=unknown[0], known=", ".join(PARTS))
    truncated = None if options.rank is None else truncation(options.rank)
    card = Card(family=_family(options, tuned), name=options.output.stem, base=original.title)
    parts = options.parts or PARTS
    if truncated is not None:
        require_places(tuned.weights, original.weights, card, options.format.to, loss, parts)
    places = extract_sites(tuned.weights, original.weights, truncated, parts)
    made = yield from collected("extract", places, None, stop)
    if made is None:
        yield from stopped("lora extract", started)
        return
    composition = Composition.of(made, card)
    if not composition.adapter.deltas:
        raise ModelError("lora.no_difference", first=options.tuned, second=options.original)
    path, to = options.output, options.format.to
    done = yield from expressed(composition, path, to, options.file, loss, None, stop)
    if not done:
        yield from stopped("lora extract", started)
        return
    yield Saved(path=options.output, what="adapter")
    seconds = time.monotonic() - started
    yield Finished(job="lora extract", seconds=seconds, outputs=(options.output,))


def _family(options: ExtractOptions, tuned: ModelFiles) -> str:
    """Return the family that was asked for, else that of the file if it can be only one."""
    own = tuned.families[0] if len(tuned.families) == 1 else ""
    return options.kin.stated or own
