"""Rotations in PEFT's configurations: OFT and BOFT."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, final

from pydantic import BaseModel, ConfigDict

from loraloom.adapters.span import Place
from loraloom.formats.codec import Told
from loraloom.formats.outline import Layer
from loraloom.formats.patterns import shortest
from loraloom.formats.rearrangement import Settings

Layers = Mapping[Place, Layer]


@final
class _Rotation(BaseModel):
    """The fields that say how OFT turns, with PEFT's defaults."""

    model_config = ConfigDict(allow_inf_nan=False)

    coft: bool = False
    eps: float = 6e-5
    block_share: bool = False
    use_cayley_neumann: bool = True
    num_cayley_neumann_terms: int = 5


def rotation_told(config: Mapping[str, Any], layers: Layers, where: str) -> dict[Place, Told]:
    """Return what an `OFTConfig` tells."""
    own = _Rotation.model_validate(config)
    settings: dict[str, bool | int | float | str] = {"side": "input"}
    # The two ways are each other's transpose: with the flag off, PEFT turns the other way round.
    if own.use_cayley_neumann:
        settings |= {"cayley": "neumann", "terms": own.num_cayley_neumann_terms}
    else:
        settings |= {"cayley": "transposed"}
    settings |= {"eps": own.eps} if own.coft else {}
    settings |= {"shared": True} if own.block_share else {}
    return {place: Told(None, settings) for place in layers}


def rotation_fields(layers: Layers) -> dict[str, Any]:
    """Return the fields of an `OFTConfig`, the inverse of `rotation_told`."""
    layer = next(iter(layers.values()))
    settings = layer.settings
    neumann = settings.get("cayley") == "neumann"
    return {
        "r": 0,
        "oft_block_size": layer.shapes["blocks"][-1],
        "coft": "eps" in settings,
        "eps": settings.get("eps", 6e-5),
        "block_share": settings.get("shared", False),
        "use_cayley_neumann": neumann,
        "num_cayley_neumann_terms": settings.get("terms", 5),
        "target_modules": [shortest(place.sites[0]) for place in layers],
    }


def butterfly_told(config: Mapping[str, Any], layers: Layers, where: str) -> dict[Place, Told]:
    """Return what a `BOFTConfig` tells: nothing, but that PEFT made it."""
    settings: Settings = {"side": "input", "cayley": "transposed", "skew": 0.5}
    return {place: Told(None, settings) for place in layers}


def butterfly_fields(layers: Layers) -> dict[str, Any]:
    """Return the fields of a `BOFTConfig`."""
    stages, _, size, _ = next(iter(layers.values())).shapes["blocks"]
    return {
        "boft_block_size": size,
        "boft_block_num": 0,
        "boft_n_butterfly_factor": stages,
        "target_modules": [shortest(place.sites[0]) for place in layers],
    }


def turns_as_peft(layer: Layer, **expected: object) -> bool:
    """Whether a rotation is of the inputs, unbound, and as PEFT makes it."""
    settings = layer.settings
    return (
        settings.get("side") == "input"
        and "constraint" not in settings
        and all(settings.get(name, value) == value for name, value in expected.items())
    )
