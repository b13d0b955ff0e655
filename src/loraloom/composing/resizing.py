"""One adapter at another rank, or as another kind: the nearest low-rank update of each weight."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import asdict, replace

from loraloom.adapters.adapter import Adapter
from loraloom.adapters.delta import AbstractDelta
from loraloom.adapters.full import Full
from loraloom.adapters.lora import Lora
from loraloom.adapters.span import Place, Span
from loraloom.composing.base_weights import BaseWeights
from loraloom.composing.change import Change
from loraloom.composing.cutting import cut, has_rows, rows_of
from loraloom.composing.evaluation import base_weight, change_of, shape_at
from loraloom.composing.fit import Composition, Fit, Made
from loraloom.composing.representation import compared, represented
from loraloom.composing.truncation import Truncation


def resize(adapter: Adapter, truncation: Truncation, seed: int = 0) -> Composition:
    """Return an adapter with every LoRA in it at another rank; other kinds stay as they are.

    No dense matrix is formed. The new factors have scale 1, whatever alpha was.
    """
    return resized(resize_places(adapter, truncation, seed), adapter, truncation)


def resize_places(adapter: Adapter, truncation: Truncation, seed: int = 0) -> Iterator[Made]:
    """Yield what `resize` collects, weight by weight."""
    for place, delta in adapter.deltas.items():
        if isinstance(delta, Lora):
            yield represented(place, _change(adapter, place, None), truncation, seed)
        else:
            yield _as_it_is(place, delta)


def approximate(
    adapter: Adapter, truncation: Truncation, base: BaseWeights | None = None, seed: int = 0
) -> Composition:
    """Return an adapter of LoRAs alone, each the nearest one to what another kind does.

    A LoRA of two factors stays as it is, and so do biases and norms, which none can change.
    Kinds whose change depends on the base's weight need `base`. A span whose rows are known is cut
    into its sites, with one LoRA each that reads the same.
    """
    made = approximate_places(adapter, truncation, base, seed)
    return resized(made, adapter, truncation, "approximate")


def approximate_places(
    adapter: Adapter, truncation: Truncation, base: BaseWeights | None = None, seed: int = 0
) -> Iterator[Made]:
    """Yield what `approximate` collects, weight by weight."""
    for place, delta in adapter.deltas.items():
        plain = isinstance(delta, Lora) and "mid" not in delta.parts()
        if plain or (isinstance(delta, Full) and len(delta.claimed_shape) == 1):
            low, fit = _as_it_is(place, delta)
        else:
            low, fit = represented(place, _change(adapter, place, base), truncation, seed)
        if isinstance(place, Span) and isinstance(low, Lora) and has_rows(place, base):
            yield from _cut(place, low, _change(adapter, place, base), base)
        else:
            yield low, fit


def _cut(span: Span, low: Lora, change: Change, base: BaseWeights | None) -> Iterator[Made]:
    """Yield the LoRA of each site in a span, with its own fit."""
    rows = rows_of(span, change.shape, base)
    for site, own in cut(low, rows).items():
        fit = Fit(place=site, kind=own.kind, rank=own.rank)
        yield own, compared(fit, change.part(rows[site]), own)


def _change(adapter: Adapter, place: Place, base: BaseWeights | None) -> Change:
    delta, name = adapter.deltas[place], adapter.card.name
    weight = base_weight(place, name, delta, base)
    return change_of(delta, 1.0, shape_at(place, {name: delta}, base), weight)


def _as_it_is(place: Place, delta: AbstractDelta) -> Made:
    return delta, Fit(place=place, kind=delta.kind, rank=delta.rank)


def resized(
    made: Iterable[Made], adapter: Adapter, truncation: Truncation, tool: str = "resize"
) -> Composition:
    """Collect what a tool here yields into an adapter with the given one's card and embeddings."""
    chosen = {name: value for name, value in asdict(truncation).items() if value is not None}
    facts = {**adapter.card.facts, "made_from": {"tool": tool, **chosen}}
    return Composition.of(made, replace(adapter.card, facts=facts), adapter.embeddings)
