"""Infotext: how a picture was made, in the form that web UIs write and read."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib.metadata import version
from typing import Final, Self, final

from loraloom.generation.request import SamplingSettings

_NEGATIVE: Final = "Negative prompt:"
_FIELD: Final = re.compile(r'\s*(\w[\w \-/]+):\s*("(?:\\.|[^\\"])+"|[^,]*)(?:,|$)')
_LEAST_FIELDS: Final = 3
_LORA_HASHES: Final = "Lora hashes"


@final
@dataclass(frozen=True, kw_only=True)
class Infotext:
    """A prompt with its LoRA tags, a negative prompt, and fields in the order they are written.

    Source of the form: AUTOMATIC1111's web UI, modules/infotext_utils.py; lines are stripped there
    and so they are here.
    """

    prompt: str
    negative_prompt: str = ""
    fields: Mapping[str, str] = field(default_factory=dict[str, str])

    def __str__(self) -> str:
        lines = [self.prompt]
        if self.negative_prompt:
            lines.append(f"{_NEGATIVE} {self.negative_prompt}")
        lines.append(", ".join(f"{key}: {_quoted(value)}" for key, value in self.fields.items()))
        return "\n".join(lines)

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read an infotext; a last line with fewer than three fields belongs to the prompt."""
        *lines, last = text.strip().split("\n")
        found = _FIELD.findall(last)
        if len(found) < _LEAST_FIELDS:
            lines, found = [*lines, last], []
        stripped = [line.strip() for line in lines]
        start = next((i for i, line in enumerate(stripped) if line.startswith(_NEGATIVE)), None)
        negative = [] if start is None else stripped[start:]
        return cls(
            prompt="\n".join(stripped[:start]),
            negative_prompt="\n".join(negative).removeprefix(_NEGATIVE).strip(),
            fields={key: _unquoted(value) for key, value in found},
        )

    @property
    def lora_hashes(self) -> dict[str, str]:
        """The hashes of the LoRAs by name."""
        pairs = [pair.partition(":") for pair in self.fields.get(_LORA_HASHES, "").split(",")]
        return {name.strip(): digest.strip() for name, _, digest in pairs if digest.strip()}


def describe(
    settings: SamplingSettings,
    seed: int,
    *,
    model: str,
    model_hash: str = "",
    lora_hashes: Mapping[str, str] | None = None,
) -> dict[str, str]:
    """Return the fields of a picture, in the web UI's order.

    `model_hash` is cut to 10 hexadecimal digits and each LoRA's hash to 12. Our version is marked
    by our name: a bare one would switch the web UI to its habits of that age.
    """
    hashes = {re.sub("[:,]", "", name): digest[:12] for name, digest in (lora_hashes or {}).items()}
    fields = {
        "Steps": str(settings.steps),
        "Sampler": settings.sampler,
        "Schedule type": settings.schedule,
        "CFG scale": str(float(settings.cfg_scale)),
        "Seed": str(seed),
        "Size": f"{settings.width}x{settings.height}",
        "Model hash": model_hash[:10],
        "Model": model,
        "Clip skip": str(settings.clip_skip) if settings.clip_skip > 1 else "",
        _LORA_HASHES: ", ".join(f"{name}: {digest}" for name, digest in hashes.items()),
        "Version": f"LoraLoom-v{version('loraloom')}",
    }
    return {key: value for key, value in fields.items() if value}


def _quoted(value: str) -> str:
    plain = value == value.strip() and not value.startswith('"')
    if plain and not any(mark in value for mark in ",\n:"):
        return value
    return json.dumps(value, ensure_ascii=False)


def _unquoted(value: str) -> str:
    value = value if value.startswith('"') else value.rstrip()
    if len(value) < 2 or not (value.startswith('"') and value.endswith('"')):
        return value
    try:
        return str(json.loads(value))
    except ValueError:
        return value
