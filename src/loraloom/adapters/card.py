"""What an adapter tells about itself."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, kw_only=True)
class Card:
    """What an adapter tells about itself; all of it survives a trip through JSON.

    `family` names the base's architecture (`sd1`), `base` the base it was trained on and
    `base_hash` that base's hash; `triggers` are the words that call it; `recipe` holds the options
    it was trained with; `facts` what the run found out (steps, images, loss), for people.
    """

    family: str
    name: str = ""
    base: str = ""
    base_hash: str = ""
    triggers: tuple[str, ...] = ()
    recipe: Mapping[str, Any] = field(default_factory=dict[str, Any])
    facts: Mapping[str, Any] = field(default_factory=dict[str, Any])
