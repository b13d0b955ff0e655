"""LoRA as the paper draws it: a module around one linear layer, and a call that puts it in."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from typing import final

import torch
from jaxtyping import Float
from torch import Tensor, nn

from loraloom.adapters.adapter import Adapter
from loraloom.adapters.card import Card
from loraloom.adapters.delta import AbstractDelta
from loraloom.adapters.lora import Lora
from loraloom.adapters.operation import Operation
from loraloom.adapters.site import Site
from loraloom.adapters.span import Place
from loraloom.errors import UsageError

_LINEAR = Operation(kind="linear")


@final
class LoRALinear(nn.Module):
    """h = W x + b + (alpha / r) B A x, with W and b frozen.

    `lora_A` is (r, in) and random, `lora_B` is (out, r) and zero, so at first nothing changes.
    Both are float32 and trained; the update's formula is that of `Lora`, which `lora` is.
    Source: arXiv 2106.09685, equation 3.
    """

    def __init__(
        self,
        original_layer: nn.Linear,
        r: int = 8,
        alpha: float = 8,
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__()
        _check(r, alpha)
        self.original = original_layer.requires_grad_(False)
        shape = (original_layer.out_features, original_layer.in_features)
        lora = Lora.fresh(shape, r, float(alpha), generator or torch.default_generator)
        self.lora = lora.to(original_layer.weight.device).requires_grad_(True)
        self._kept: tuple[nn.Parameter] | None = None

    def forward(self, x: Float[Tensor, "*batch in"]) -> Float[Tensor, "*batch out"]:
        """Return the frozen layer's output plus the update's."""
        y = self.original(x)
        if self.merged:
            return y
        return y + _LINEAR.apply_factors(
            x, self.lora_A.to(y.dtype), self.lora_B.to(y.dtype), self.scale
        )

    @property
    def lora_A(self) -> nn.Parameter:
        """The matrix that goes down to the rank: (r, in)."""
        return self.lora.down

    @property
    def lora_B(self) -> nn.Parameter:
        """The matrix that comes back up: (out, r)."""
        return self.lora.up

    @property
    def scale(self) -> float:
        """alpha / r."""
        return self.lora.scale

    @property
    def weight(self) -> nn.Parameter:
        """The weight that the wrapped layer has now, for code that looks at a layer's weight."""
        return self._weight()

    @property
    def bias(self) -> nn.Parameter | None:
        """The wrapped layer's bias."""
        return self.original.bias

    @property
    def merged(self) -> bool:
        """Whether the update is in the weight at the moment."""
        return self._kept is not None

    @torch.no_grad()
    def delta(self) -> Float[Tensor, "out in"]:
        """Return the update (alpha / r) B A, in float32."""
        return self.lora.delta(None)

    @torch.no_grad()
    def merge(self) -> None:
        """Put W + delta in the layer's place of W: nothing is computed beside it any more.

        The sum is formed in float32 at least, and rounded once to the layer's number type. W
        itself is kept aside, where moving the module to another device or type does not reach it:
        unmerge first. Merging twice does nothing. Raises UsageError for a quantised weight.
        """
        if self._kept is None:
            weight = self._weight()
            if not weight.is_floating_point():
                raise UsageError("lora_linear.quantised", stored=weight.dtype)
            exact = torch.promote_types(weight.dtype, torch.float32)
            merged = (weight.to(exact) + self.delta()).to(weight.dtype)
            self._kept = (weight,)
            self.original.weight = nn.Parameter(merged, requires_grad=False)

    def unmerge(self) -> None:
        """Put the kept W back, the very same object, where subtracting would leave rounding."""
        if self._kept is not None:
            (self.original.weight,) = self._kept
            self._kept = None

    def _weight(self) -> nn.Parameter:
        return self.original.get_parameter("weight")


def apply_lora(
    model: nn.Module,
    target_modules: str | Sequence[str],
    r: int = 8,
    alpha: float = 8,
    generator: torch.Generator | None = None,
) -> nn.Module:
    """Freeze `model`, put a `LoRALinear` around its linear layers of these names, return it.

    A list holds last names or ends of dotted names (`q_proj`, `attn.to_q`); a string is a regular
    expression that the whole dotted name matches, as PEFT has it. Raises UsageError with the
    names there are, and before anything has changed, if one of them matches no linear layer.
    `generator` draws the first matrices; without one, torch's own does.
    """
    _check(r, alpha)
    layers = _linear_layers(model)
    if isinstance(target_modules, str):
        try:
            wanted = re.compile(target_modules)
        except re.error as error:
            raise UsageError("lora_linear.pattern", pattern=target_modules, reason=error) from error
        chosen = {name for name in layers if wanted.fullmatch(name)}
        missing = [] if chosen else [target_modules]
    else:
        found = {
            target: {name for name in layers if f".{name}".endswith(f".{target}")}
            for target in target_modules
        }
        chosen = {name for names in found.values() for name in names}
        missing = [target for target, names in found.items() if not names]
    if missing or not chosen:
        counts = Counter(name.rpartition(".")[2] for name in layers)
        there = ", ".join(f"{name} ({count})" for name, count in counts.items())
        raise UsageError("lora_linear.no_match", wanted=", ".join(missing), there=there or "-")
    model.requires_grad_(False)
    for name in [name for name in layers if name in chosen]:
        above, _, last = name.rpartition(".")
        setattr(model.get_submodule(above), last, LoRALinear(layers[name], r, alpha, generator))
    return model


def lora_layers(model: nn.Module) -> Iterator[tuple[str, LoRALinear]]:
    """Yield the `LoRALinear` modules of a model with their dotted names."""
    for name, module in _modules(model):
        if isinstance(module, LoRALinear):
            yield name, module


def lora_adapter(model: nn.Module, card: Card | None = None, part: str = "model") -> Adapter:
    """Return what `apply_lora` put into a model as an adapter: to save, attach, merge or compare.

    `part` is what networks like this one are called: `unet`, `text_encoder`, or `model`.
    """
    deltas: dict[Place, AbstractDelta] = {
        Site(part, f"{name}.weight"): Lora.from_parts(
            {key: tensor.detach().cpu().clone() for key, tensor in layer.lora.parts().items()},
            layer.lora.alpha,
        )
        for name, layer in lora_layers(model)
    }
    return Adapter(deltas=deltas, card=card or Card(family=""))


def _check(r: int, alpha: float) -> None:
    if r < 1:
        raise UsageError("lora_linear.rank", rank=r)
    if not math.isfinite(alpha):
        raise UsageError("lora_linear.alpha", alpha=alpha)


def _linear_layers(model: nn.Module) -> dict[str, nn.Linear]:
    """Return the linear layers that a wrapper could take the place of, by dotted name.

    Those inside a wrapper are taken already. The output layer of torch's multi-head attention is
    left out: its weight is read and the layer itself never called.
    """
    found: dict[str, nn.Linear] = {}
    modules = dict(_modules(model))
    for name, module in modules.items():
        parent = modules[name.rpartition(".")[0]]
        closed = parent is module or isinstance(parent, LoRALinear | nn.MultiheadAttention)
        if isinstance(module, nn.Linear) and not closed:
            found[name] = module
    return found


def _modules(model: nn.Module) -> Iterable[tuple[str, nn.Module]]:
    return model.named_modules()  # pyright: ignore[reportUnknownVariableType]
