"""A span cut into its sites."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import accumulate, pairwise

from loraloom.adapters.lora import Lora
from loraloom.adapters.site import Site
from loraloom.adapters.span import Place, Span
from loraloom.composing.base_weights import BaseWeights
from loraloom.composing.change import Shape
from loraloom.errors import ModelError


def rows_of(
    span: Span,
    shape: Shape | None,
    base: BaseWeights | None,
    known: Mapping[Place, Shape | None] | None = None,
) -> dict[Site, slice]:
    """Return the rows of each site in a span whose stacked weight is of `shape`.

    How many each has is told by the span, by the shapes of sites that are `known`, by the base, or
    by what the others leave. Unknown ones, and counts that do not add up, are a `ModelError`.
    """
    counts = [
        _count(site, told, base, known or {})
        for site, told in zip(span.sites, span.rows, strict=True)
    ]
    if shape is None or counts.count(None) > 1:
        raise ModelError("composing.rows", span=span)
    rest = shape[0] - sum(count for count in counts if count is not None)
    edges = list(accumulate((rest if count is None else count for count in counts), initial=0))
    if edges[-1] != shape[0] or rest < 0:
        raise ModelError("composing.row_sum", span=span, rows=shape[0], found=counts)
    rows = [slice(start, stop) for start, stop in pairwise(edges)]
    return dict(zip(span.sites, rows, strict=True))


def has_rows(span: Span, base: BaseWeights | None) -> bool:
    """Whether the span or the base knows how many rows each site has, all but one at least."""
    counts = [
        _count(site, told, base, {}) for site, told in zip(span.sites, span.rows, strict=True)
    ]
    return counts.count(None) <= 1


def cut(lora: Lora, rows: Mapping[Site, slice]) -> dict[Site, Lora]:
    """Return the LoRA of each site, exactly: they share what they read, and it is one tensor."""
    parts = lora.parts()
    return {
        site: Lora(parts["down"], parts["up"][own], lora.alpha, parts.get("mid"))
        for site, own in rows.items()
    }


def _count(
    site: Site, told: int | None, base: BaseWeights | None, known: Mapping[Place, Shape | None]
) -> int | None:
    if told is not None:
        return told
    shape = known.get(site)
    if shape is None and base is not None:
        shape = base.shapes.get(site)
    return None if shape is None else shape[0]
