"""LoraLoom: an adapter is plain data about named weights; the rest trains, mixes and judges it."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from loraloom.adapters.adapter import Adapter as Adapter
    from loraloom.adapters.attachment import attach as attach
    from loraloom.adapters.lora_linear import LoRALinear as LoRALinear
    from loraloom.adapters.lora_linear import apply_lora as apply_lora
    from loraloom.adapters.lora_linear import lora_adapter as lora_adapter
    from loraloom.adapters.lora_savings import lora_savings as lora_savings
    from loraloom.errors import LoraLoomError as LoraLoomError
    from loraloom.formats.files import read_adapter as read_adapter
    from loraloom.formats.files import write_adapter as write_adapter
    from loraloom.jobs.base_model import load as load
    from loraloom.jobs.generate import GenerateOptions as GenerateOptions
    from loraloom.jobs.generate import generate as generate
    from loraloom.jobs.multi_lora import MultiLoRAGenerator as MultiLoRAGenerator
    from loraloom.jobs.multi_lora import create_comparison_grid as create_comparison_grid
    from loraloom.jobs.recipe import Recipe as Recipe
    from loraloom.jobs.train import train as train

_HOMES = {
    "Adapter": "adapters.adapter",
    "GenerateOptions": "jobs.generate",
    "LoRALinear": "adapters.lora_linear",
    "LoraLoomError": "errors",
    "MultiLoRAGenerator": "jobs.multi_lora",
    "Recipe": "jobs.recipe",
    "apply_lora": "adapters.lora_linear",
    "attach": "adapters.attachment",
    "create_comparison_grid": "jobs.multi_lora",
    "generate": "jobs.generate",
    "load": "jobs.base_model",
    "lora_adapter": "adapters.lora_linear",
    "lora_savings": "adapters.lora_savings",
    "read_adapter": "formats.files",
    "train": "jobs.train",
    "write_adapter": "formats.files",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'loraloom' has no attribute {name!r}")
    return getattr(import_module(f"loraloom.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return sorted(_HOMES)
