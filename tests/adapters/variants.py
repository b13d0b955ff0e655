"""Layers to wear adapters on, and every form that every kind of adapter comes in."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from transformers.pytorch_utils import Conv1D

from loraloom.adapters.delta import AbstractDelta
from loraloom.adapters.kinds import KINDS
from loraloom.adapters.lokr import Division
from loraloom.adapters.operation import Operation


@dataclass(frozen=True, kw_only=True)
class Layer:
    """An operation, its weight's shape, and a maker of inputs."""

    name: str
    operation: Operation
    shape: tuple[int, ...]
    input: Callable[[torch.Generator], Tensor]

    @classmethod
    def of(cls, layer: nn.Module, *x: int) -> Layer:
        """Describe a live layer that takes inputs of shape `x`."""
        operation = Operation.of(layer)
        assert operation is not None
        draw = _tokens(x) if operation.kind == "embedding" else _normal(x)
        name = f"{type(layer).__name__}({layer.extra_repr()})"
        return cls(name=name, operation=operation, shape=tuple(weight_of(layer).shape), input=draw)

    def weight(self, generator: torch.Generator, dtype: torch.dtype = torch.float32) -> Tensor:
        """Draw a weight of a size that a trained one has."""
        return torch.randn(self.shape, generator=generator, dtype=dtype) / 3


def weight_of(layer: nn.Module) -> Tensor:
    """Return a layer's weight with the outputs for rows, which GPT-2's `Conv1D` has for columns."""
    return layer.weight.T if isinstance(layer, Conv1D) else layer.weight


def _tokens(x: tuple[int, ...]) -> Callable[..., Tensor]:
    return lambda generator: torch.randint(16, x, generator=generator)


def _normal(x: tuple[int, ...]) -> Callable[..., Tensor]:
    return lambda generator: torch.randn(x, generator=generator)


LAYERS = (
    Layer.of(nn.Linear(8, 16), 2, 5, 8),
    Layer.of(nn.Embedding(16, 8), 2, 5),
    Layer.of(nn.Conv1d(8, 16, 3, stride=2, padding=1), 2, 8, 9),
    Layer.of(nn.Conv2d(8, 16, 1), 2, 8, 3, 4),
    Layer.of(nn.Conv2d(8, 16, 3, stride=2, padding=(0, 2)), 2, 8, 5, 6),
    Layer.of(nn.Conv2d(8, 16, (1, 3), dilation=2, padding="same"), 2, 8, 4, 5),
    Layer.of(nn.Conv3d(8, 16, 2), 1, 8, 3, 3, 2),
    Layer.of(nn.Conv2d(16, 16, 3, groups=2), 2, 16, 4, 3),
    Layer.of(nn.Conv2d(16, 16, 2, groups=16), 2, 16, 4, 3),
    Layer.of(Conv1D(8, 16), 2, 5, 16),
)
SMALL_LAYERS = LAYERS[:1] + LAYERS[2:3]


@dataclass(frozen=True, kw_only=True)
class Variant:
    """One form of one kind: options for an untrained one, and settings it is read with."""

    kind: type[AbstractDelta]
    name: str
    options: Mapping[str, object]
    settings: Mapping[str, object]
    suits: Callable[[tuple[int, ...]], bool]
    spell: Callable[[Mapping[str, Tensor]], dict[str, Tensor]]

    def layers(self, layers: tuple[Layer, ...] = LAYERS) -> tuple[Layer, ...]:
        """Return those that it can be worn on."""
        return tuple(layer for layer in layers if self.suits(layer.shape))

    def fresh(
        self, layer: Layer, generator: torch.Generator, weight: Tensor, dtype=torch.float32
    ) -> AbstractDelta:
        """Return an untrained one."""
        delta = self.kind.fresh(
            layer.shape, 3, 1.5, generator, dtype, weight=weight, **self.options
        )
        if not self.settings:
            return delta
        return self.kind.from_parts(
            self._read(delta), delta.alpha, {**delta.settings, **self.settings}
        )

    def random(
        self, layer: Layer, generator: torch.Generator, weight: Tensor, dtype=torch.float32
    ) -> AbstractDelta:
        """Return one with random numbers, as if trained."""
        delta = self.fresh(layer, generator, weight)
        parts = {
            name: (torch.randn(tensor.shape, generator=generator) / 2 + (name in _POSITIVE)).to(
                dtype
            )
            for name, tensor in self._read(delta).items()
        }
        return self.kind.from_parts(parts, delta.alpha, delta.settings)

    def _read(self, delta: AbstractDelta) -> dict[str, Tensor]:
        return self.spell(delta.parts())


_POSITIVE = ("magnitude", "rescale")


def _variant(kind: str, name: str, **more: object) -> Variant:
    defaults = {"options": {}, "settings": {}, "suits": lambda shape: True}
    return Variant(kind=KINDS[kind], name=name, **{**defaults, "spell": dict, **more})


def _swapped(parts: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {name[0] + "21"[int(name[1]) - 1]: tensor for name, tensor in parts.items()}


def _one_block(parts: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {name: tensor[:1] for name, tensor in parts.items()}


def _large(shape: tuple[int, ...]) -> bool:
    return any(side > 1 for side in shape[2:])


def _butterfly_in(shape: tuple[int, ...]) -> bool:
    return shape[1:].count(3) == 0


_PLAIN = [_variant(kind, "plain") for kind in KINDS]
_MORE = [
    _variant("lora", "tucker", options={"tucker": True}, suits=_large),
    _variant("loha", "tucker", options={"tucker": True}, suits=_large),
    _variant("lokr", "whole", options={"division": Division(full_matrix=True)}),
    _variant("lokr", "factor", options={"division": Division(factor=2)}),
    _variant(
        "lokr",
        "both divided",
        options={"division": Division(factor=1, unbalanced=True, decompose_both=True)},
    ),
    _variant("lokr", "tucker", options={"division": Division(factor=1, tucker=True)}),
    _variant("lokr", "scaled", settings={"scale": 0.375}),
    _variant("dora", "input", options={"axis": "input"}),
    _variant("dora", "tucker", options={"tucker": True}, suits=_large),
    _variant("dora", "detached", options={"detached_norm": True}),
    _variant("dora", "detached input", options={"detached_norm": True, "axis": "input"}),
    _variant("doha", "input", options={"axis": "input"}),
    _variant("dokr", "input", options={"axis": "input"}),
    _variant("dokr", "scaled", settings={"scale": 0.375}),
    _variant("ia3", "input", options={"on_input": True}),
    _variant("oft", "rescale", options={"with_rescale": True}),
    _variant("oft", "constraint", settings={"constraint": 0.01}),
    _variant("oft", "input", options={"side": "input", "with_rescale": True}),
    _variant("oft", "transposed", options={"side": "input"}, settings={"cayley": "transposed"}),
    _variant(
        "oft",
        "neumann",
        options={"side": "input"},
        settings={"cayley": "neumann", "terms": 4, "skew": 0.25},
    ),
    _variant("oft", "eps", options={"side": "input"}, settings={"eps": 0.5}),
    _variant(
        "oft",
        "shared",
        options={"side": "input"},
        settings={"shared": True},
        spell=_one_block,
    ),
    _variant("boft", "rescale", options={"with_rescale": True}),
    _variant("boft", "constraint", settings={"constraint": 0.02, "cayley": "transposed"}),
    _variant(
        "boft",
        "input",
        options={"side": "input", "with_rescale": True},
        settings={"cayley": "transposed", "skew": 0.5},
        suits=_butterfly_in,
    ),
    _variant("glora", "swapped", spell=_swapped),
]
VARIANTS = tuple(_PLAIN + _MORE)
