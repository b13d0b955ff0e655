"""The families of base models, by the pipeline that a folder says it is; known without torch."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Final, final

from loraloom.models.inspection import Inspection
from loraloom.models.sd1.parts import inspect_folder


@final
@dataclass(frozen=True, kw_only=True)
class Family:
    """A family: its name, and what proves a folder of it before any weight is loaded."""

    name: str
    inspect: Callable[[Path], Inspection]


FAMILIES: Final[Mapping[str, Family]] = MappingProxyType(
    {"StableDiffusionPipeline": Family(name="sd1", inspect=inspect_folder)}
)
"""Pipeline class of `model_index.json` -> family."""
