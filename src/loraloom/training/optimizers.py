"""The table of optimizers."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Final, final

import torch
from torch import nn


@final
@dataclass(frozen=True)
class ParameterGroup:
    """Parameters that share a learning rate."""

    parameters: tuple[nn.Parameter, ...]
    learning_rate: float


def _adamw(groups: Iterable[ParameterGroup], arguments: Mapping[str, Any]) -> torch.optim.Optimizer:
    rows = [{"params": group.parameters, "lr": group.learning_rate} for group in groups]
    # One pass over all tensors instead of a dozen small operations for each.
    fused = not arguments.get("foreach", False)
    settings: dict[str, Any] = {"fused": fused, **arguments}
    return torch.optim.AdamW(rows, **settings)


OPTIMIZERS: Final[
    Mapping[str, Callable[[Iterable[ParameterGroup], Mapping[str, Any]], torch.optim.Optimizer]]
] = MappingProxyType({"adamw": _adamw})
"""Lower-case name -> builder from groups and the optimizer's own arguments."""
