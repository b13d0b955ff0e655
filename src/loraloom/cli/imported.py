"""What a command needs, imported when it is called."""

from __future__ import annotations

from importlib import import_module
from typing import Any


def imported(place: str) -> Any:
    """Return what stands at a place, written as "module:name"."""
    module, _, name = place.partition(":")
    return getattr(import_module(module), name)
