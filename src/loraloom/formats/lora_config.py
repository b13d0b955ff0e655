"""PEFT's `LoraConfig`: one rank and alpha for all modules, and patterns for those that differ."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Any, Final, TypeVar, cast

from loraloom.adapters.site import Site
from loraloom.errors import ModelError
from loraloom.formats.outline import Layer

Number = TypeVar("Number", int, float)

_DEFAULT: Final = 8
"""PEFT's rank and alpha where a configuration leaves them out."""

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


def read_alphas(config: Mapping[str, Any], ranks: Mapping[Site, int]) -> dict[Site, float]:
    """Return the alphas of one network's sites, such that alpha / rank is PEFT's scale.

    With `use_rslora` that scale is alpha / sqrt(rank) (arXiv 2312.03732, theorem 3.2).
    """
    for option, allowed in _PLAIN.items():
        if option in config and config[option] not in allowed:
            raise ModelError("format.peft_option", option=option, value=config[option])
    rank_patterns = _patterns(config, "rank_pattern")
    alpha_patterns = _patterns(config, "alpha_pattern")
    common_rank = _number(config.get("r", _DEFAULT), "r")
    common_alpha = _number(config.get("lora_alpha", _DEFAULT), "lora_alpha")
    alphas: dict[Site, float] = {}
    for site, rank in ranks.items():
        told = _look_up(rank_patterns, site, common_rank)
        if told != rank:
            raise ModelError("format.rank", site=site, told=told, found=rank)
        alpha = _look_up(alpha_patterns, site, common_alpha)
        alphas[site] = alpha * rank**0.5 if config.get("use_rslora") else alpha
    return alphas


def write_config(layers: Mapping[Site, Layer]) -> dict[str, Any]:
    """Return the fields of a `LoraConfig` that give these sites of one network their scales."""
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


def _look_up(patterns: Mapping[re.Pattern[str], float], site: Site, otherwise: float) -> float:
    """Return the number of the first pattern that fits the module under one of its live names."""
    for pattern, number in patterns.items():
        if any(pattern.match(module) for module in site.live_modules()):
            return number
    return otherwise


def _patterns(config: Mapping[str, Any], name: str) -> dict[re.Pattern[str], float]:
    """Compile patterns the way PEFT's `get_pattern_key` matches them."""
    given: Any = config.get(name) or {}
    if not isinstance(given, dict):
        raise ModelError("format.config", where=name, reason=repr(given)[:80])
    patterns: dict[re.Pattern[str], float] = {}
    for text, number in cast("dict[str, Any]", given).items():
        endless = len(_REPETITION.findall(text)) > _MOST_REPETITIONS
        if endless or _REPEATED_GROUP.search(text):
            raise ModelError("format.pattern", where=name, pattern=text)
        try:
            patterns[re.compile(rf"(.*\.)?({text})$")] = _number(number, name)
        except re.error as error:
            raise ModelError("format.pattern", where=name, pattern=text) from error
    return patterns


def _number(value: Any, where: str) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ModelError("format.config", where=where, reason=repr(value)[:80])
    return float(value)


def _shortest(site: Site) -> str:
    """Return the spelling that, as a pattern, fits the module under all its live names."""
    *_, shortest = site.live_modules()
    return shortest


def _most_common(numbers: Iterable[Number]) -> Number:
    return Counter(numbers).most_common(1)[0][0]


def _whole(number: float) -> float:
    """Return a whole number as the integer that PEFT declares."""
    return int(number) if number.is_integer() else number
