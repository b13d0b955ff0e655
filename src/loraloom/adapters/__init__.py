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
    from loraloom.adapters.lora_linear import LoRALinear as LoRALinear
    from loraloom.adapters.lora_linear import apply_lora as apply_lora
    from loraloom.adapters.lora_linear import lora_adapter as lora_adapter
    from loraloom.adapters.lora_savings import lora_savings as lora_savings
    from loraloom.adapters.site import Site as Site
    from loraloom.adapters.span import Span as Span

_HOMES = {
    "AbstractDelta": "delta",
    "Adapter": "adapter",
    "Attachment": "attachment",
    "Card": "card",
    "KINDS": "kinds",
    "LoRALinear": "lora_linear",
    "Lora": "lora",
    "Origin": "adapter",
    "Site": "site",
    "Span": "span",
    "apply_lora": "lora_linear",
    "attach": "attachment",
    "lora_adapter": "lora_linear",
    "lora_savings": "lora_savings",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(name)
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
