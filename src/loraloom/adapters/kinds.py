"""The table of adapter kinds."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from loraloom.adapters.boft import Boft
from loraloom.adapters.delta import AbstractDelta
from loraloom.adapters.doha import Doha
from loraloom.adapters.dokr import Dokr
from loraloom.adapters.dora import Dora
from loraloom.adapters.full import Full
from loraloom.adapters.glora import Glora
from loraloom.adapters.ia3 import Ia3
from loraloom.adapters.loha import Loha
from loraloom.adapters.lokr import Lokr
from loraloom.adapters.lora import Lora
from loraloom.adapters.oft import Oft

KINDS: Final[Mapping[str, type[AbstractDelta]]] = MappingProxyType(
    {kind.kind: kind for kind in (Lora, Loha, Lokr, Dora, Doha, Dokr, Full, Ia3, Oft, Boft, Glora)}
)
