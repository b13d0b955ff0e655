"""IA3 in PEFT's configurations."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, final

from pydantic import BaseModel

from loraloom.adapters.span import Place
from loraloom.errors import ModelError
from loraloom.formats.codec import Told
from loraloom.formats.outline import Layer
from loraloom.formats.patterns import Patterns, compiled, shortest

Layers = Mapping[Place, Layer]


_MOST_ENDS: Final = 20_000


@final
class _Feedforward(BaseModel):
    """The field that says which modules IA3 scales before the layer."""

    feedforward_modules: list[str] | str | None = None


def ia3_told(config: Mapping[str, Any], layers: Layers, where: str) -> dict[Place, Told]:
    """Return what an `IA3Config` tells: which modules are scaled before and which after."""
    modules = _Feedforward.model_validate(config).feedforward_modules
    if modules is None:
        raise ModelError("format.config", where=where)
    names = {name for place in layers for name in place.sites[0].live_modules()}
    ends = () if isinstance(modules, str) else tuple(modules)
    if len(ends) > _MOST_ENDS:
        raise ModelError("format.config", where=where)
    pattern: Patterns = (
        compiled({modules: 1.0}, names, where, whole=True) if isinstance(modules, str) else {}
    )
    told: dict[Place, Told] = {}
    for place in layers:
        site = place.sites[0]
        on_input = (
            any(each.fullmatch(name) for each in pattern for name in site.live_modules())
            if isinstance(modules, str)
            else site.module.endswith(ends)
        )
        told[place] = Told(None, {"on_input": on_input})
    return told


def ia3_fields(layers: Layers) -> dict[str, Any]:
    """Return the fields of an `IA3Config`, the inverse of `ia3_told`."""
    modules = {shortest(place.sites[0]): layer for place, layer in layers.items()}
    return {
        "target_modules": list(modules),
        "feedforward_modules": [n for n, each in modules.items() if each.settings.get("on_input")],
    }
