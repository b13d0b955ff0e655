"""An adapter file in one format made into one in another."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import replace

from loraloom.adapters.adapter import Adapter
from loraloom.composing.changed_base import on_untouched_base
from loraloom.composing.fit import Composition
from loraloom.composing.resizing import approximate_places, resized
from loraloom.errors import ModelError
from loraloom.events import Event, Finished, Saved, Warned
from loraloom.formats.files import read_adapter
from loraloom.formats.split_qkv import with_trained_scale
from loraloom.jobs.lora.files import check_output, measures_of, warnings_of, write
from loraloom.jobs.lora.model_files import open_base
from loraloom.jobs.lora.options import ConvertOptions
from loraloom.jobs.lora.progress import collected, stopped
from loraloom.jobs.lora.weights import lossy_truncation


def convert(options: ConvertOptions, stop: Callable[[], bool] = lambda: False) -> Iterator[Event]:
    """Convert an adapter; yield what its user should know.

    Every update is the same before and after. What the format cannot express is a `ModelError`,
    unless `lossy` allows a low-rank update in its place; the error of each is then told. Asked to
    stop before that is done, it writes nothing.
    """
    started = time.monotonic()
    check_output(options.destination, [options.source], force=options.file.force)
    truncated = None if options.lossy is None else lossy_truncation(options.lossy)
    adapter = read_adapter(options.source, on_changed_base=options.changed_base is not None)
    if options.changed_base == "undo":
        adapter = on_untouched_base(adapter, open_base(options.basis.base), str(options.source))
    if options.split_qkv == "trained":
        adapter = with_trained_scale(adapter)
    yield from warnings_of({"": adapter})
    try:
        write(adapter, options.destination, options.to, options.file)
    except ModelError as error:
        places = error.details.get("places")
        if truncated is None or error.code != "format.cannot_express" or not places:
            raise
        misfits = {place: delta for place, delta in adapter.deltas.items() if place in places}  # pyright: ignore[reportOperatorIssue]
        odd = replace(adapter, deltas=misfits, embeddings={}, origin=None)
        places = approximate_places(odd, truncated, open_base(options.basis.base))
        made = yield from collected("approximate", places, len(misfits), stop)
        if made is None:
            yield from stopped("lora convert", started)
            return
        composition = resized(made, odd, truncated, "approximate")
        write(_with(adapter, composition), options.destination, options.to, options.file)
        yield Warned(code="lora.approximated", details={"count": len(misfits)})
        yield from measures_of(composition)
    yield Saved(path=options.destination, what="adapter")
    yield Finished(
        job="lora convert",
        seconds=time.monotonic() - started,
        outputs=(options.destination,),
    )


def _with(adapter: Adapter, composition: Composition) -> Adapter:
    """Return the adapter with what was approximated in place of what it was made from."""
    made = composition.adapter
    approximated = {site for place in made.deltas for site in place.sites}
    rest = {
        place: delta
        for place, delta in adapter.deltas.items()
        if not approximated.intersection(place.sites)
    }
    origin = None if adapter.origin is None else replace(adapter.origin, dialect="")
    return replace(adapter, deltas={**rest, **made.deltas}, card=made.card, origin=origin)
