"""One training picture with everything that training must know of it before it is decoded."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, kw_only=True)
class Example:
    """A picture, its caption, and how often an epoch shows it.

    `width` and `height` are in pixels, after the picture was turned upright; `subset` names the
    folder that it came from.
    """

    path: Path
    caption: str
    width: int
    height: int
    repeats: int
    subset: str
