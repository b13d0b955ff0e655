"""Adapters whose training changed the base too, made into ones of the base as it was."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from types import MappingProxyType
from typing import Any, Final, TypeAlias

from torch import Tensor

from loraloom.adapters.adapter import Adapter
from loraloom.adapters.delta import AbstractDelta
from loraloom.adapters.lora import Lora
from loraloom.adapters.olora import olora
from loraloom.adapters.pissa import pissa
from loraloom.adapters.residual import relative_to_base
from loraloom.adapters.span import Place
from loraloom.composing.base_weights import BaseWeights
from loraloom.errors import ModelError, UsageError
from loraloom.formats.peft_config import changed_base

_Start: TypeAlias = Callable[[Tensor, int, float], Lora]

_STARTS: Final[Mapping[str, _Start]] = MappingProxyType({"pissa": pissa, "olora": olora})
"""Initialisation -> the factors that it draws out of a weight, which are the same each time."""


def on_untouched_base(adapter: Adapter, base: BaseWeights | None, where: str) -> Adapter:
    """Return the adapter that does on the base as it was what this one does on the changed base.

    Its LoRAs have twice the rank: B A - B0 A0, of which the second is found again from the base's
    weight, and it is right up to the rounding of the changed base. One that changed nothing is
    returned as it is. Without a base it is a `UsageError`; initialisations that depend on more
    than the weight (LoftQ, CorDA, LoRA-GA, and PiSSA by random decomposition, `pissa_niter_4`)
    are a `ModelError`.
    """
    config: Mapping[str, Mapping[str, Any]] = (adapter.origin and adapter.origin.config) or {}
    ways = {folder: changed_base(fields) for folder, fields in config.items()}
    if not any(ways.values()):
        return adapter
    if base is None:
        raise UsageError("lora.undo_needs_base", where=where)
    deltas = {
        place: _undone(place, delta, ways.get(place.part, ways.get("", "")), base, where)
        for place, delta in adapter.deltas.items()
    }
    return replace(adapter, deltas=deltas, origin=None)


def _undone(
    place: Place, delta: AbstractDelta, way: str, base: BaseWeights, where: str
) -> AbstractDelta:
    start = _STARTS.get(way.lower())
    if not way:
        return delta
    if start is None or not isinstance(delta, Lora):
        raise ModelError("lora.cannot_undo", where=where, way=way, known=", ".join(_STARTS))
    for site in place.sites:
        if site not in base.shapes:
            raise ModelError("composing.not_in_base", adapter=where, site=site)
    weight = base.weight(place)
    return relative_to_base(delta, start(weight, delta.rank, delta.scale * delta.rank))
