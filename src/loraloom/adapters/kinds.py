"""The table of adapter kinds."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from loraloom.adapters.delta import AbstractDelta
from loraloom.adapters.lora import Lora

KINDS: Final[Mapping[str, type[AbstractDelta]]] = MappingProxyType({Lora.kind: Lora})
