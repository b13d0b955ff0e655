"""An adapter file in one format made into one in another."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

from loraloom.composing.changed_base import on_untouched_base
from loraloom.composing.fit import Composition
from loraloom.events import Event, Finished, Saved
from loraloom.formats.conversion import family_warnings
from loraloom.formats.files import read_adapter
from loraloom.formats.split_qkv import with_trained_scale
from loraloom.jobs.lora.embeddings import split_off, told, without
from loraloom.jobs.lora.expressing import expressed
from loraloom.jobs.lora.files import warnings_of
from loraloom.jobs.lora.loss import Loss
from loraloom.jobs.lora.model_files import open_base
from loraloom.jobs.lora.options import ConvertOptions
from loraloom.jobs.lora.output import check_output
from loraloom.jobs.lora.progress import stopped


def convert(options: ConvertOptions, stop: Callable[[], bool] = lambda: False) -> Iterator[Event]:
    """Convert an adapter; yield what its user should know.

    Every update is the same before and after. What the format cannot express is a `ModelError`,
    unless an option allows a low-rank update in its place or leaves it out; what is lost is then
    told. Asked to stop before that is done, it writes nothing.
    """
    started = time.monotonic()
    loss = Loss.of(options.loss)
    force, bases = options.file.force, [options.basis.base]
    check_output(options.destination, [options.source], force=force, bases=bases)
    adapter = read_adapter(
        options.source,
        on_changed_base=options.changed_base is not None,
        family=options.kin.stated,
    )
    if options.changed_base == "undo":
        adapter = on_untouched_base(adapter, open_base(options.basis.base), str(options.source))
    if options.split_qkv == "trained":
        adapter = with_trained_scale(adapter)
    yield from warnings_of({"": adapter})
    if not options.kin.stated:
        yield from family_warnings(adapter, options.to, str(options.source))
    whole, way = {str(options.source): adapter}, options.words.embeddings
    path, sources = options.destination, [options.source]
    beside = split_off(whole, way, path, sources, force=force, bases=bases)
    adapter = without(whole, way)[str(options.source)]
    base = open_base(options.basis.base)
    alone = Composition(adapter=adapter, fits=())
    done = yield from expressed(alone, path, options.to, options.file, loss, base, stop)
    if not done:
        yield from stopped("lora convert", started)
        return
    yield from told(whole, way, beside, force=force)
    yield Saved(path=options.destination, what="adapter")
    yield Finished(
        job="lora convert",
        seconds=time.monotonic() - started,
        outputs=(options.destination, *beside),
    )
