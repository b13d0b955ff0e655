"""What a layer does with its weight, as a value, so that an adapter can do the same."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final, Literal

import torch
import torch.nn.functional as F
from jaxtyping import Float, Shaped
from torch import Tensor, nn

CONVOLUTIONS: Final[Mapping[int, Callable[..., Tensor]]] = MappingProxyType(
    {1: F.conv1d, 2: F.conv2d, 3: F.conv3d}
)


@dataclass(frozen=True, kw_only=True)
class Operation:
    """A layer without its weight and bias: linear in that weight, which is all that matters here.

    `linear` has a weight (out, in), also where the layer keeps it the other way (`is_turned`);
    `convolution` (out, in / groups, *kernel) with as many kernel sides as `sides`; `embedding`
    (vocabulary, width), looked up by token numbers.
    """

    kind: Literal["linear", "convolution", "embedding"]
    sides: int = 0
    stride: tuple[int, ...] = ()
    padding: str | tuple[int, ...] = ()
    dilation: tuple[int, ...] = ()
    groups: int = 1

    @classmethod
    def of(cls, layer: nn.Module) -> Operation | None:
        """Return the operation of `layer`; None for layers that do something else.

        Those are worn by running them again with other parameters (`rerun`). A subclass of a
        convolution or embedding with a `forward` of its own is one of them; a linear layer's
        subclasses differ only in how they store the weight.
        """
        match layer:
            case nn.Linear():
                return cls(kind="linear")
            case nn.Embedding(max_norm=None) if _runs(layer, nn.Embedding):
                return cls(kind="embedding")
            case nn.Conv1d() | nn.Conv2d() | nn.Conv3d():
                plain = _runs(layer, nn.Conv1d, nn.Conv2d, nn.Conv3d)
                if not plain or layer.padding_mode != "zeros":
                    return None
                padding = layer.padding
                return cls(
                    kind="convolution",
                    sides=len(layer.kernel_size),
                    stride=tuple(layer.stride),
                    padding=padding if isinstance(padding, str) else tuple(padding),
                    dilation=tuple(layer.dilation),
                    groups=layer.groups,
                )
            case _:
                return cls(kind="linear") if is_turned(layer) else None

    @property
    def width_axis(self) -> int:
        """Which axis of the layer's output its weight's rows (the outputs) make up."""
        return -1 - self.sides

    @property
    def is_pixelwise(self) -> bool:
        """Whether a convolution with a kernel of one pixel keeps every pixel in its place."""
        return all(step == 1 for step in self.stride) and self.padding in (
            "valid",
            "same",
            tuple(0 for _ in range(self.sides)),
        )

    def apply(
        self, x: Shaped[Tensor, "batch ..."], weight: Float[Tensor, "out ..."]
    ) -> Float[Tensor, "batch ..."]:
        """Apply the layer with another weight and no bias."""
        match self.kind:
            case "linear":
                return F.linear(x, weight)
            case "embedding":
                return F.embedding(x, weight)
            case "convolution":
                return self._convolve(x, weight, self.groups)

    def apply_factors(
        self,
        x: Shaped[Tensor, "batch ..."],
        down: Float[Tensor, "rank in *kernel"],
        up: Float[Tensor, "out rank *ones"],
        scale: float | Float[Tensor, "#batch"] = 1.0,
    ) -> Float[Tensor, "batch ..."]:
        """Apply the layer with the weight scale * up @ down, without forming it.

        Each row of the batch may have a scale of its own. A grouped convolution has one `down`
        for all of its groups.
        """
        # An embedding's input chooses among the weight's rows; any other meets its columns.
        first, second = (up, down) if self.kind == "embedding" else (down, up)
        inner = self._inner(x, first)
        if isinstance(scale, Tensor):
            scale = scale.to(inner).view(-1, *(1 for _ in inner.shape[1:]))
        if isinstance(scale, Tensor) or scale != 1:
            inner = inner * scale
        match self.kind:
            case "linear":
                return F.linear(inner, second)
            case "embedding":
                return inner @ second
            case "convolution" if self.groups == 1:
                wide = second.flatten(1) @ inner.flatten(2)
                return wide.view(len(wide), -1, *inner.shape[2:])
            case "convolution":
                return CONVOLUTIONS[self.sides](inner, second, groups=self.groups)

    def add_factors(
        self,
        y: Float[Tensor, "batch ..."],
        x: Shaped[Tensor, "batch ..."],
        down: Float[Tensor, "rank in *kernel"],
        up: Float[Tensor, "out rank *ones"],
        scale: float,
        *,
        in_place: bool,
    ) -> Float[Tensor, "batch ..."]:
        """Return y + apply_factors(x, down, up, scale), in `y` itself if `in_place` allows it."""
        summed = self.kind in ("linear", "convolution") and self.groups == 1
        if not summed or y.ndim < 2 or not y.is_contiguous():
            change = self.apply_factors(x, down, up)
            return y.add_(change, alpha=scale) if in_place else torch.add(y, change, alpha=scale)
        # Products of matrices that add to what is there: less than half of a convolution's time.
        if self.kind == "convolution":
            inner, wide = self._inner(x, down).flatten(2), y.flatten(2)
            factor = up.flatten(1).expand(len(inner), -1, -1)
            if in_place:
                wide.baddbmm_(factor, inner, alpha=scale)
                return y
            return torch.baddbmm(wide, factor, inner, alpha=scale).view(y.shape)
        inner, rows = F.linear(x, down).flatten(0, -2), y.view(-1, y.shape[-1])
        if in_place:
            rows.addmm_(inner, up.t(), alpha=scale)
            return y
        return torch.addmm(rows, inner, up.t(), alpha=scale).view(y.shape)

    def add_bias(
        self, y: Float[Tensor, "batch ..."], bias: Float[Tensor, " out"], scale: float = 1.0
    ) -> Float[Tensor, "batch ..."]:
        """Return the layer's output with `scale` times a bias added to it."""
        bias = bias.to(y.dtype).view(-1, *(1 for _ in range(self.sides)))
        return torch.add(y, bias, alpha=scale)

    def _inner(self, x: Tensor, weight: Tensor) -> Tensor:
        """Return what is between the two factors."""
        if self.kind == "convolution" and self.groups > 1:
            shared = weight.repeat(self.groups, *(1 for _ in weight.shape[1:]))
            return self._convolve(x, shared, self.groups)
        return self.apply(x, weight)

    def _convolve(self, x: Tensor, weight: Tensor, groups: int) -> Tensor:
        return CONVOLUTIONS[self.sides](
            x,
            weight,
            stride=self.stride,
            padding=self.padding,
            dilation=self.dilation,
            groups=groups,
        )


def _runs(layer: nn.Module, *classes: type[nn.Module]) -> bool:
    """Whether the layer's `forward` is that of one of the classes."""
    return any(type(layer).forward is each.forward for each in classes)


def is_turned(layer: nn.Module) -> bool:
    """Whether this is transformers' `Conv1D`, GPT-2's linear layer that keeps its weight (in, out).

    Known by its full name: this package does not import transformers.
    """
    names = {(each.__module__, each.__qualname__) for each in type(layer).__mro__}
    return ("transformers.pytorch_utils", "Conv1D") in names
