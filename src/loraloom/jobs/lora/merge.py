"""Several adapter files merged into one."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

from loraloom.composing.merging import least_magnitudes, merge_places, merged
from loraloom.composing.mode import MergeSettings
from loraloom.events import Event, Finished, Saved
from loraloom.formats.files import read_adapter
from loraloom.jobs.lora.embeddings import split_off, told, without
from loraloom.jobs.lora.expressing import expressed
from loraloom.jobs.lora.files import warnings_of
from loraloom.jobs.lora.loss import Loss
from loraloom.jobs.lora.model_files import open_base
from loraloom.jobs.lora.options import MergeOptions
from loraloom.jobs.lora.output import check_output
from loraloom.jobs.lora.progress import awaited, collected, looked_at, places_of, stopped
from loraloom.jobs.lora.weights import truncation, weighted, with_blocks


def merge(options: MergeOptions, stop: Callable[[], bool] = lambda: False) -> Iterator[Event]:
    """Merge adapters into one that does at strength 1 what they do together; yield what happens.

    Weights that were cut to a rank tell the share of energy that is kept. Asked to stop between
    two weights, it writes nothing.
    """
    started = time.monotonic()
    loss = Loss.of(options.loss)
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
    bases, family = [options.basis.base], options.kin.stated
    check_output(options.output, paths, force=options.file.force, bases=bases)
    adapters = {name: read_adapter(path, family=family) for name, (path, _) in found.items()}
    yield from warnings_of(adapters)
    whole, way, force = adapters, options.words.embeddings, options.file.force
    beside = split_off(whole, way, options.output, paths, force=force, bases=bases)
    adapters = without(whole, way)
    sites = {name: [str(site) for site in adapter.sites] for name, adapter in adapters.items()}
    weights = with_blocks(found, options.blocks, sites)
    base = open_base(options.basis.base)
    steps = least_magnitudes(adapters, weights, settings, base)
    least = yield from awaited("trim", steps, looked_at(adapters), stop)
    if least is None:
        yield from stopped("lora merge", started)
        return
    places = merge_places(adapters, weights, settings, base, least)
    made = yield from collected("merge", places, places_of(adapters), stop)
    if made is None:
        yield from stopped("lora merge", started)
        return
    composition = merged(made, adapters, weights, settings, options.output.stem)
    path, to = options.output, options.format.to
    done = yield from expressed(composition, path, to, options.file, loss, base, stop)
    if not done:
        yield from stopped("lora merge", started)
        return
    yield from told(whole, way, beside, force=force)
    yield Saved(path=options.output, what="adapter")
    seconds = time.monotonic() - started
    yield Finished(job="lora merge", seconds=seconds, outputs=(options.output, *beside))
