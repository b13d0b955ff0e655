"""Generation: the prompt language, sampling, and pictures that tell how they were made."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from loraloom.generation.infotext import Infotext as Infotext
    from loraloom.generation.prompt import LoraTag as LoraTag
    from loraloom.generation.prompt import ParsedPrompt as ParsedPrompt
    from loraloom.generation.prompt import parse_prompt as parse_prompt
    from loraloom.generation.request import ImageRequest as ImageRequest
    from loraloom.generation.request import SamplingSettings as SamplingSettings
    from loraloom.generation.samplers import SAMPLERS as SAMPLERS
    from loraloom.generation.sampling import sample as sample

_HOMES = {
    "ImageRequest": "request",
    "Infotext": "infotext",
    "LoraTag": "prompt",
    "ParsedPrompt": "prompt",
    "SAMPLERS": "samplers",
    "SamplingSettings": "request",
    "parse_prompt": "prompt",
    "sample": "sampling",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(name)
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
