"""What a run will take, told before it starts: numbers of the adapters, and memory.

Everything here comes from the headers of the base's files; nothing is loaded.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final, TypeAlias, final

from loraloom.adapters.site import Site
from loraloom.data.bucket import Size
from loraloom.models.geometry import Geometry
from loraloom.training.options import NetworkOptions
from loraloom.training.target_table import adapted_blocks

Shapes: TypeAlias = Mapping[Site, Sequence[int]]
"""The weights of a base's networks and their shapes."""

NUMBER_BYTES: Final[Mapping[str, int]] = MappingProxyType(
    {"auto": 4, "no": 4, "fp32": 4, "fp16": 2, "bf16": 2}
)
"""Name of a precision in options -> bytes of a number."""

_ADAM: Final = 16
"""Bytes per trained number: itself, its gradient and Adam's two means, in float32."""

_KEPT: Final = 2.0
"""Numbers that autograd keeps for each number that goes into a layer.

Fitted to what it keeps for the playground, of 128x128 and 256x256 pixels and of one and four rows.
"""

_TOKENS: Final = 77

_BLOCK: Final = re.compile(r"(down|up)_blocks\.(\d+)\.")


@final
@dataclass(frozen=True, kw_only=True)
class Memory:
    """Bytes at the peak of a step: the base, the adapters with gradients and optimizer, and what
    the backward pass needs."""

    base: int
    adapters: int
    activations: int

    @property
    def total(self) -> int:
        """All of it."""
        return self.base + self.adapters + self.activations


def adapter_numbers(shapes: Shapes, network: NetworkOptions) -> int:
    """Return how many numbers an adapter of a base has that are trained."""
    return sum(_numbers(shape, network) for _, shape in _adapted(shapes, network))


def memory_of(
    shapes: Shapes,
    geometry: Geometry,
    networks: Sequence[NetworkOptions],
    batches: Sequence[tuple[Size, int]],
    *,
    number_bytes: int,
) -> Memory:
    """Return a rough estimate of a step's memory.

    `batches` are the size of the pictures and the rows of each adapter's batch, the largest it has;
    `number_bytes` are those of the type that the base computes in.
    """
    inputs = sum(rows * _inputs(shapes, geometry.latent_shape(*size)[1:]) for size, rows in batches)
    return Memory(
        base=number_bytes * sum(map(math.prod, shapes.values())),
        adapters=_ADAM * sum(adapter_numbers(shapes, network) for network in networks),
        activations=int(_KEPT * number_bytes * inputs),
    )


def _adapted(shapes: Shapes, network: NetworkOptions) -> Iterator[tuple[Site, Sequence[int]]]:
    for site, shape in shapes.items():
        if len(shape) < 2 or not site.path.endswith(".weight"):
            continue
        is_text = site.part.startswith("text_encoder")
        if network.network_train_unet_only and is_text:
            continue
        if network.network_train_text_encoder_only and not is_text:
            continue
        blocks = adapted_blocks(site.part, convolutions=bool(network.conv_dim))
        if any(each.places.match(site.path) for each in blocks):
            yield site, shape


def _numbers(shape: Sequence[int], network: NetworkOptions) -> int:
    is_plain = math.prod(shape[2:]) == 1
    rank = network.network_dim if is_plain else network.conv_dim or 0
    return rank * (shape[0] + math.prod(shape[1:]))


def _inputs(shapes: Shapes, latents: Sequence[int]) -> float:
    """Return how many numbers go into the layers of the networks for one picture."""
    paths = [(site.path, shape) for site, shape in shapes.items() if site.part == "unet"]
    blocks = [_BLOCK.match(path) for path, _ in paths]
    deepest = max((int(block[2]) for block in blocks if block), default=0)
    area = math.prod(latents)
    words = (shape for site, shape in shapes.items() if site.part.startswith("text_encoder"))
    total = float(sum(_TOKENS * shape[1] for shape in words if len(shape) == 2))
    for (path, shape), block in zip(paths, blocks, strict=True):
        if len(shape) < 2 or "time_emb" in path:
            continue
        level = 0 if path.startswith("conv_") else deepest
        if block:
            level = int(block[2]) if block[1] == "down" else deepest - int(block[2])
        total += shape[1] * area / 4**level
    return total
