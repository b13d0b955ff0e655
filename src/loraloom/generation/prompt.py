"""The web UI's prompt language: which LoRAs a prompt names, and the text that is left."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, final

from loraloom.errors import UsageError
from loraloom.events import Warned

_TAG: Final = re.compile(r"<(\w+):([^>]+)>")
_EMPHASIS: Final = re.compile(r"\([^()]*:\s*[+-]?[.\d]+\s*\)")
_LORA_TAGS: Final = ("lora", "lyco")
_NAMED: Final = ("te", "unet", "dyn")


@final
@dataclass(frozen=True)
class LoraTag:
    """A LoRA as a prompt names it, with its strengths in the text encoder and the denoiser."""

    name: str
    text_encoder: float = 1.0
    unet: float = 1.0


@final
@dataclass(frozen=True)
class ParsedPrompt:
    """A prompt without its tags, each LoRA once, and what the author should know."""

    text: str
    loras: tuple[LoraTag, ...] = ()
    notices: tuple[Warned, ...] = ()


def parse_prompt(prompt: str) -> ParsedPrompt:
    """Take the tags out of a prompt; the text around them stays as it is, blanks included.

    `<lora:NAME:TEXT_ENCODER:UNET>`: what is left out is 1, the U-Net's strength that of the text
    encoder; `te=` and `unet=` name them. `<lyco:` means the same; a LoRA named twice has the sum.
    A strength that is no finite number is a `UsageError`. Source: AUTOMATIC1111's web UI,
    extensions-builtin/Lora/extra_networks_lora.py.
    """
    loras: dict[str, LoraTag] = {}
    notices: list[Warned] = []

    def take(match: re.Match[str]) -> str:
        kind, items = match[1], match[2]
        if kind not in _LORA_TAGS:
            notices.append(Warned(code="prompt.unknown_tag", details={"tag": match[0]}))
            return ""
        tag = _lora(match[0], items.split(":"), notices)
        before = loras.get(tag.name, LoraTag(tag.name, 0.0, 0.0))
        loras[tag.name] = LoraTag(
            tag.name, before.text_encoder + tag.text_encoder, before.unet + tag.unet
        )
        return ""

    text = _TAG.sub(take, prompt)
    return ParsedPrompt(text, tuple(loras.values()), (*notices, *_emphasis(text)))


def negative_notices(prompt: str) -> tuple[Warned, ...]:
    """Return what the author of a negative prompt should know: tags in it are plain text."""
    tags = [
        Warned(code="prompt.tag_in_negative", details={"tag": match[0]})
        for match in _TAG.finditer(prompt)
    ]
    return (*tags, *_emphasis(prompt))


def _lora(tag: str, items: Sequence[str], notices: list[Warned]) -> LoraTag:
    named: dict[str, str] = {}
    positional: list[str] = []
    for item in items:
        key, *values = item.split("=", 2)
        if len(values) == 1:
            named[key.strip()] = values[0]
        else:
            positional.append(item)
    if not positional or not positional[0].strip():
        raise UsageError("prompt.no_name", tag=tag)
    ignored = [key for key in named if key not in _NAMED]
    if "dyn" in named or len(positional) > 3:
        ignored.append("dyn")
    for key in ignored:
        notices.append(Warned(code="prompt.ignored_argument", details={"tag": tag, "key": key}))
    places = dict(enumerate(positional))
    text_encoder = _number(tag, named.get("te", places.get(1) or "1"))
    unet = named.get("unet", places.get(2))
    return LoraTag(
        positional[0].strip(), text_encoder, text_encoder if unet is None else _number(tag, unet)
    )


def _number(tag: str, text: str) -> float:
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not math.isfinite(number):
        raise UsageError("prompt.bad_strength", tag=tag, text=text)
    return number


def _emphasis(text: str) -> tuple[Warned, ...]:
    found = _EMPHASIS.search(text)
    return (Warned(code="prompt.emphasis", details={"text": found[0]}),) if found else ()
