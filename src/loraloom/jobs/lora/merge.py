"""Several adapter files merged into one."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

from loraloom.composing.merging import merge_places, merged
from loraloom.composing.mode import MergeSettings
from loraloom.events import Event, Finished, Saved
from loraloom.formats.files import read_adapter
from loraloom.jobs.lora.files import check_output, measures_of, warnings_of, write
from loraloom.jobs.lora.model_files import open_base
from loraloom.jobs.lora.options import MergeOptions
from loraloom.jobs.lora.progress import collected, places_of, stopped
from loraloom.jobs.lora.weights import truncation, weighted, with_blocks


def merge(options: MergeOptions, stop: Callable[[], bool] = lambda: False) -> Iterator[Event]:
    """Merge adapters into one that does at strength 1 what they do together; yield what happens.

    Weights that were cut to a rank tell the share of energy that is kept. Asked to stop between
    two weights, it writes nothing.
    """
    started = time.monotonic()
    settings = MergeSettings(
        mode=options.mode,
        truncation=None if options.rank is None else truncation(options.rank),
        normalize=options.normalize,
        density=options.density,
        trim=options.trim,
        scale=options.scale,
        seed=options.seed,
        law=options.strength.law,
    )
    found = weighted(options.adapters)
    paths = [path for path, _ in found.values()]
    check_output(options.output, paths, force=options.file.force)
    adapters = {name: read_adapter(path) for name, (path, _) in found.items()}
    yield from warnings_of(adapters)
    sites = {name: [str(site) for site in adapter.sites] for name, adapter in adapters.items()}
    weights = with_blocks(found, options.blocks, sites)
    base = open_base(options.basis.base)
    places = merge_places(adapters, weights, settings, base)
    made = yield from collected("merge", places, places_of(adapters), stop)
    if made is None:
        yield from stopped("lora merge", started)
        return
    composition = merged(made, adapters, weights, settings, options.output.stem)
    write(composition.adapter, options.output, options.format.to, options.file)
    yield from measures_of(composition)
    yield Saved(path=options.output, what="adapter")
    seconds = time.monotonic() - started
    yield Finished(job="lora merge", seconds=seconds, outputs=(options.output,))
