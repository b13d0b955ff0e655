"""The one-line language of sample prompts, as kohya's trainer has it."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Final, final

from loraloom.errors import UsageError

_OPTION = re.compile(r"\s--(\w+)\s+")


@final
@dataclass(frozen=True, kw_only=True)
class SamplePrompt:
    """A prompt with what its line says of the picture; None leaves it to the model or the run."""

    prompt: str
    negative_prompt: str = ""
    width: int | None = None
    height: int | None = None
    seed: int | None = None
    cfg_scale: float = 7.0
    steps: int = 20


_FIELDS: Final[Mapping[str, tuple[str, Callable[[str], Any]]]] = MappingProxyType(
    {
        "n": ("negative_prompt", str),
        "w": ("width", int),
        "h": ("height", int),
        "d": ("seed", int),
        "l": ("cfg_scale", float),
        "s": ("steps", int),
    }
)
"""Letter -> field and its type."""

_LEAST: Final[Mapping[str, int]] = MappingProxyType({"w": 1, "h": 1, "d": 0, "s": 1})


def parse_sample_prompt(line: str) -> SamplePrompt:
    """Read `a red ball --n blurry --w 512 --h 512 --d 1 --l 7.5 --s 20`.

    A letter that is not known, a value that is no finite number where one belongs, or one out of
    range, is a `UsageError`.
    """
    prompt, *rest = _OPTION.split(f" {line.strip()}")
    values: dict[str, Any] = {}
    for letter, text in zip(rest[::2], rest[1::2], strict=True):
        if letter not in _FIELDS:
            known = ", ".join(f"--{each}" for each in _FIELDS)
            raise UsageError("samples.unknown", option=f"--{letter}", line=line, known=known)
        field, kind = _FIELDS[letter]
        try:
            values[field] = kind(text.strip())
            _check(letter, values[field], line)
        except ValueError as error:
            raise UsageError("samples.number", option=f"--{letter}", line=line) from error
    return SamplePrompt(prompt=prompt.strip(), **values)


def _check(letter: str, value: Any, line: str) -> None:
    if isinstance(value, float) and not math.isfinite(value):
        raise ValueError
    if letter in _LEAST and not _LEAST[letter] <= value < 2**63:
        bounds = f"≥ {_LEAST[letter]}, < 2^63"
        raise UsageError(
            "samples.range", option=f"--{letter}", value=value, bounds=bounds, line=line
        )
