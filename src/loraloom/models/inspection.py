"""What a base's files tell before any weight is loaded."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import final

from loraloom.models.geometry import Geometry


@final
@dataclass(frozen=True, kw_only=True)
class Inspection:
    """A base's sizes, and the safetensors files that its weights will be read from."""

    geometry: Geometry
    weights: tuple[Path, ...]
