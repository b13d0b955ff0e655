"""Ranks and alphas in PEFT's configurations of LoRA and its like."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, final

from pydantic import BaseModel, ConfigDict

from loraloom.adapters.span import Place
from loraloom.errors import ModelError
from loraloom.formats.codec import Told
from loraloom.formats.outline import Layer
from loraloom.formats.patterns import compiled, look_up, most_common, shortest, whole

Layers = Mapping[Place, Layer]


@final
class _Scales(BaseModel):
    """The fields that set the scale, with PEFT's defaults."""

    model_config = ConfigDict(allow_inf_nan=False)

    r: int = 8
    lora_alpha: float = 8
    alpha: float = 8
    rank_pattern: dict[str, int] | None = None
    alpha_pattern: dict[str, float] | None = None
    use_rslora: bool = False


def _alphas(
    config: Mapping[str, Any], layers: Layers, where: str, field: str
) -> dict[Place, tuple[float, int]]:
    """Return the alpha and the rank that a configuration tells of each delta.

    With `use_rslora` the scale is alpha / sqrt(rank) (arXiv 2312.03732, theorem 3.2); the alpha
    returned makes alpha / rank the same.
    """
    scales = _Scales.model_validate(config)
    modules = {name for place in layers for name in place.sites[0].live_modules()}
    ranks = compiled(scales.rank_pattern or {}, modules, where)
    alphas = compiled(scales.alpha_pattern or {}, modules, where)
    found: dict[Place, tuple[float, int]] = {}
    for place, layer in layers.items():
        if layer.layout.has_scale:
            site = place.sites[0]
            told = int(look_up(ranks, site, scales.r))
            if layer.rank is not None and told != layer.rank:
                details = {"site": place, "told": told, "found": layer.rank}
                raise ModelError("format.rank", where=where, **details)
            if told < 1:
                raise ModelError("format.config", where=where)
            alpha = look_up(alphas, site, getattr(scales, field))
            found[place] = (alpha * told**0.5 if scales.use_rslora else alpha, told)
    return found


def pattern_fields(numbers: Mapping[Place, tuple[float, int]], field: str) -> dict[str, Any]:
    """Return ranks and alphas as PEFT tells them: for all, and patterns for those that differ."""
    modules = {shortest(place.sites[0]): each for place, each in numbers.items()}
    rank = most_common(rank for _, rank in modules.values())
    alpha = most_common(alpha for alpha, _ in modules.values())
    return {
        "r": rank,
        field: whole(alpha),
        "rank_pattern": {name: own for name, (_, own) in modules.items() if own != rank},
        "alpha_pattern": {name: whole(own) for name, (own, _) in modules.items() if own != alpha},
        "target_modules": list(modules),
    }


def _numbers(layers: Layers) -> dict[Place, tuple[float, int]]:
    return {place: (layer.told_alpha, layer.rank or 1) for place, layer in layers.items()}


def lora_told(config: Mapping[str, Any], layers: Layers, where: str) -> dict[Place, Told]:
    """Return what a `LoraConfig` tells."""
    told = _alphas(config, layers, where, "lora_alpha")
    if config.get("use_dora") and any(layer.kind == "lora" for layer in layers.values()):
        raise ModelError("format.peft_option", where=where, option="use_dora", value=True)
    return {place: Told(alpha) for place, (alpha, _) in told.items()}


def lora_fields(layers: Layers) -> dict[str, Any]:
    """Return the fields of a `LoraConfig`, the inverse of `lora_told`."""
    kinds = {layer.kind for layer in layers.values()}
    dora = {"use_dora": True} if "dora" in kinds else {}
    bias = {"lora_bias": True} if "full" in kinds else {}
    own = {place: layer for place, layer in layers.items() if layer.kind != "full"}
    return pattern_fields(_numbers(own), "lora_alpha") | dora | bias


def loha_told(config: Mapping[str, Any], layers: Layers, where: str) -> dict[Place, Told]:
    """Return what a `LoHaConfig` tells."""
    told = _alphas(config, layers, where, "alpha")
    return {place: Told(alpha) for place, (alpha, _) in told.items()}


def loha_fields(layers: Layers) -> dict[str, Any]:
    """Return the fields of a `LoHaConfig`, the inverse of `loha_told`."""
    tucker = any("t1" in layer.shapes for layer in layers.values())
    return pattern_fields(_numbers(layers), "alpha") | {"use_effective_conv2d": tucker}


def lokr_told(config: Mapping[str, Any], layers: Layers, where: str) -> dict[Place, Told]:
    """Return what a `LoKrConfig` tells.

    PEFT multiplies by alpha / r even where both factors are whole and there is no rank.
    """
    told = _alphas(config, layers, where, "alpha")
    return {
        place: Told(None, {"scale": alpha / rank}) if layers[place].rank is None else Told(alpha)
        for place, (alpha, rank) in told.items()
    }
