"""One training picture with everything that training must know of it before it is decoded."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path


@dataclass(frozen=True, kw_only=True)
class Example:
    """A picture, its caption, and how often an epoch shows it.

    `width` and `height` are in pixels, after the picture was turned upright; `subset` names the
    folder that it came from. `further_lines` of its caption file are captions to choose from
    where wildcards are on. `regularisation`: it shows the class, not what is to be learnt.
    `weight` multiplies its loss. `settings` are options of its subset that differ from the run's.
    """

    path: Path
    caption: str
    width: int
    height: int
    repeats: int
    subset: str
    further_lines: tuple[str, ...] = ()
    regularisation: bool = False
    weight: float = 1.0
    settings: Mapping[str, object] = field(default_factory=dict[str, object])
