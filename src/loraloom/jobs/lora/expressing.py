"""An adapter written in a format that may have no place for all of it."""

from __future__ import annotations

from collections.abc import Callable, Collection, Generator, Mapping
from dataclasses import asdict, replace
from pathlib import Path
from types import MappingProxyType
from typing import Final

from loraloom.adapters.adapter import Adapter
from loraloom.adapters.span import Place
from loraloom.composing.base_weights import BaseWeights
from loraloom.composing.fit import Composition, Made
from loraloom.composing.resizing import approximate_places
from loraloom.composing.truncation import Truncation
from loraloom.errors import ModelError
from loraloom.events import Event, Warned
from loraloom.formats.conversion import writing_warnings
from loraloom.formats.vectors import VECTORS, vector_of
from loraloom.jobs.lora.files import measures_of, write
from loraloom.jobs.lora.loss import Loss, left_out, measured, without
from loraloom.jobs.lora.progress import collected
from loraloom.jobs.lora.shared_options import FileOptions

_CURABLE: Final = "format.cannot_express"
_ADVICE: Final[Mapping[tuple[bool, bool], str]] = MappingProxyType(
    {
        (True, False): "lora.takes_low_rank",
        (False, True): "lora.takes_leaving_out",
        (True, True): "lora.takes_both",
    }
)
"""What to say where `--lossy` is missing, and where `--drop` is."""


def expressed(
    composition: Composition,
    path: Path,
    format: str,
    options: FileOptions,
    loss: Loss,
    base: BaseWeights | None,
    stop: Callable[[], bool],
) -> Generator[Event, None, bool]:
    """Write an adapter; yield what was left out, rewritten or approximated, and its measures.

    What the format cannot express is a `ModelError`, unless `loss` allows what would let it; the
    error then names the options that would. Asked to stop before it is done, it writes nothing and
    returns False.
    """
    asked = composition.adapter
    yield from left_out(composition, loss.drop, base)
    composition = without(composition, loss.drop)
    try:
        yield from write(composition.adapter, path, format, options)
    except ModelError as error:
        refusal = advised(error, loss)
        if refusal is not None:
            raise refusal from error
        if error.code != _CURABLE or loss.truncation is None:
            raise
        low = _places(error, "low")
        odd = _only(composition.adapter, low)
        places = approximate_places(odd, loss.truncation, base)
        made = yield from collected("approximate", places, len(low), stop)
        if made is None:
            return False
        composition = _with(composition, low, made, loss.truncation)
        yield from write(composition.adapter, path, format, options)
        yield Warned(code="lora.approximated", details={"count": len(low)})
    yield from writing_warnings(composition.adapter, format, str(path))
    yield from measures_of(measured(composition, asked, base))
    return True


def advised(error: ModelError, loss: Loss) -> ModelError | None:
    """Return a refusal with the options that are missing; None if there are none that would do."""
    if error.code != _CURABLE:
        return None
    others = _places(error, "left_out")
    missing = bool(_places(error, "low")) and loss.truncation is None
    if not missing and not others:
        return None
    sorts = {*(vector_of(place) for place in others), *loss.drop}
    words = ",".join(word for word in VECTORS if word in sorts)
    return ModelError(_ADVICE[missing, bool(others)], **error.details, sorts=words)


def _places(error: ModelError, name: str) -> tuple[Place, ...]:
    found: tuple[Place, ...] = error.details[name]  # pyright: ignore[reportAssignmentType]
    return found


def _only(adapter: Adapter, places: Collection[Place]) -> Adapter:
    deltas = {place: delta for place, delta in adapter.deltas.items() if place in places}
    return replace(adapter, deltas=deltas, embeddings={}, origin=None)


def _with(
    composition: Composition, low: Collection[Place], made: list[Made], truncation: Truncation
) -> Composition:
    """Return what was composed with low-rank updates in place of those they were made from."""
    adapter = composition.adapter
    deltas = {place: delta for place, delta in adapter.deltas.items() if place not in low}
    deltas |= {fit.place: delta for delta, fit in made}
    fits = [fit for fit in composition.fits if fit.place not in low]
    chosen = {name: value for name, value in asdict(truncation).items() if value is not None}
    facts = {**adapter.card.facts, "approximated": chosen}
    origin = None if adapter.origin is None else replace(adapter.origin, dialect="")
    return Composition(
        adapter=replace(
            adapter, deltas=deltas, card=replace(adapter.card, facts=facts), origin=origin
        ),
        fits=(*fits, *(fit for _, fit in made)),
    )
