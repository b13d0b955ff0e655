"""What an adapter is, and how networks wear it."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from loraloom.adapters.adapter import Adapter as Adapter
    from loraloom.adapters.adapter import Origin as Origin
    from loraloom.adapters.attachment import Attachment as Attachment
    from loraloom.adapters.attachment import attach as attach
    from loraloom.adapters.card import Card as Card
    from loraloom.adapters.delta import AbstractDelta as AbstractDelta
    from loraloom.adapters.kinds import KINDS as KINDS
    from loraloom.adapters.lora import Lora as Lora
    from loraloom.adapters.site import Site as Site

_HOMES = {
    "AbstractDelta": "delta",
    "Adapter": "adapter",
    "Attachment": "attachment",
    "Card": "card",
    "KINDS": "kinds",
    "Lora": "lora",
    "Origin": "adapter",
    "Site": "site",
    "attach": "attachment",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(name)
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
