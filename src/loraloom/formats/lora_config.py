"""PEFT's `LoraConfig`: one rank and alpha for all modules, and patterns for those that differ."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Any, Final, TypeVar, final

from pydantic import BaseModel, ConfigDict, ValidationError

from loraloom.adapters.site import Site
from loraloom.errors import ModelError
from loraloom.formats.outline import Layer

Number = TypeVar("Number", int, float)
Patterns = Mapping[re.Pattern[str], float]

_PLAIN: Final[Mapping[str, tuple[Any, ...]]] = MappingProxyType(
    {
        "peft_type": ("LORA", None),
        "bias": ("none",),
        "fan_in_fan_out": (False,),
        "lora_bias": (False,),
        "use_dora": (False,),
        "use_qalora": (False,),
        "use_bdlora": (None,),
        "alora_invocation_tokens": (None,),
        "arrow_config": (None,),
        "kasa_config": (None,),
        "layer_replication": (None,),
        "monteclora_config": (None,),
        "velora_config": (None,),
        # The other ways to begin change the base as well, and the factors do not fit the old one.
        "init_lora_weights": (True, False, "gaussian", "eva", "orthogonal"),
    }
)
"""Options under which the factors may mean more than scale * up @ down, and the values that leave
it at that."""

# A pattern comes from a file and must not be able to search for ever.
_MOST_REPETITIONS: Final = 3
_REPETITION: Final = re.compile(r"[*+?{]")
_REPEATED_GROUP: Final = re.compile(r"\)[*+?{]")


@final
class _Scales(BaseModel):
    """The fields that set the scale, with PEFT's defaults."""

    model_config = ConfigDict(allow_inf_nan=False)

    r: int = 8
    lora_alpha: float = 8
    rank_pattern: dict[str, int] | None = None
    alpha_pattern: dict[str, float] | None = None
    use_rslora: bool = False


def read_alphas(
    config: Mapping[str, Any], ranks: Mapping[Site, int], where: str
) -> dict[Site, float]:
    """Return the alphas of one network's sites, such that alpha / rank is PEFT's scale.

    With `use_rslora` that scale is alpha / sqrt(rank) (arXiv 2312.03732, theorem 3.2). `where` is
    for messages.
    """
    for option, allowed in _PLAIN.items():
        if option in config and config[option] not in allowed:
            value = config[option]
            raise ModelError("format.peft_option", where=where, option=option, value=value)
    try:
        scales = _Scales.model_validate(config)
    except ValidationError as error:
        raise ModelError("format.config", where=where) from error
    rank_patterns = _compiled(scales.rank_pattern or {}, where)
    alpha_patterns = _compiled(scales.alpha_pattern or {}, where)
    alphas: dict[Site, float] = {}
    for site, rank in ranks.items():
        told = _look_up(rank_patterns, site, scales.r)
        if told != rank:
            raise ModelError("format.rank", where=where, site=site, told=told, found=rank)
        alpha = _look_up(alpha_patterns, site, scales.lora_alpha)
        alphas[site] = alpha * rank**0.5 if scales.use_rslora else alpha
    return alphas


def write_config(layers: Mapping[Site, Layer]) -> dict[str, Any]:
    """Return the fields of a `LoraConfig` that gives these sites of one network their scales."""
    modules = {_shortest(site): layer for site, layer in layers.items()}
    rank = _most_common(layer.rank for layer in layers.values())
    alpha = _most_common(layer.told_alpha for layer in layers.values())
    return {
        "r": rank,
        "lora_alpha": _whole(alpha),
        "rank_pattern": {
            module: layer.rank for module, layer in modules.items() if layer.rank != rank
        },
        "alpha_pattern": {
            module: _whole(layer.told_alpha)
            for module, layer in modules.items()
            if layer.told_alpha != alpha
        },
        "target_modules": list(modules),
    }


def _compiled(patterns: Mapping[str, float], where: str) -> Patterns:
    """Compile patterns the way PEFT's `get_pattern_key` matches them."""
    compiled: dict[re.Pattern[str], float] = {}
    for text, number in patterns.items():
        endless = len(_REPETITION.findall(text)) > _MOST_REPETITIONS
        if endless or _REPEATED_GROUP.search(text):
            raise ModelError("format.pattern", where=where, pattern=text)
        try:
            compiled[re.compile(rf"(.*\.)?({text})$")] = number
        except re.error as error:
            raise ModelError("format.pattern", where=where, pattern=text) from error
    return compiled


def _look_up(patterns: Patterns, site: Site, otherwise: float) -> float:
    """Return the number of the first pattern that fits the module under one of its live names."""
    for pattern, number in patterns.items():
        if any(pattern.match(module) for module in site.live_modules()):
            return number
    return otherwise


def _shortest(site: Site) -> str:
    """Return the spelling that, as a pattern, fits the module under all its live names."""
    *_, shortest = site.live_modules()
    return shortest


def _most_common(numbers: Iterable[Number]) -> Number:
    return Counter(numbers).most_common(1)[0][0]


def _whole(number: float) -> float:
    """Return a whole number as the integer that PEFT declares."""
    return int(number) if number.is_integer() else number
