"""The networks of published models: which weights they have, and of what shape.

A name that a family's grammar allows at any depth, and a shape that could be any family's, tell
together which model a file is for.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from functools import cached_property
from typing import Final, TypeAlias, final

from loraloom.adapters.site import Site

Known: TypeAlias = tuple[int | None, ...]
"""A shape as far as it is known."""

_VARIED: Final = None
"""A side that differs among models of one kind: channels of inpainting, sizes of vocabularies."""


@final
class Published:
    """One network of a published model."""

    def __init__(self, modules: Callable[[], Iterator[tuple[str, Known]]]) -> None:
        self._modules = modules

    @cached_property
    def shapes(self) -> Mapping[str, Known]:
        """The shape of every module's weight, by the module's canonical name."""
        return dict(self._modules())

    def has(self, site: Site, claimed: Known) -> bool:
        """Whether it has such a weight; of `claimed` a side is None, or all are missing, if it is
        not known."""
        shape = self.shapes.get(site.module)
        if shape is None:
            return site.module == "" and site.path in self.shapes
        if site.parameter != "weight":
            return _agree(claimed[:1], shape)
        # Files have convolutions of one pixel as linear layers and the other way round.
        return _agree(claimed[:2], shape) or (len(claimed) == 2 and _agree(claimed, _flat(shape)))


def _agree(one: Known, other: Known) -> bool:
    return all(None in pair or pair[0] == pair[1] for pair in zip(one, other, strict=False))


def _flat(shape: Known) -> Known:
    """Return the shape of a convolution's weight as a matrix: a row for every output."""
    if len(shape) < 3 or None in shape:
        return shape[:2]
    return (shape[0], math.prod(side or 1 for side in shape[1:]))


def unet(
    channels: tuple[int, ...],
    depths: tuple[int, ...],
    context: int,
    *,
    layers: int = 2,
    middle: int = 1,
    added: int = 0,
) -> Published:
    """Return a UNet of diffusers' `UNet2DConditionModel`.

    `channels` and `depths` are by block on the way down: width, and transformer layers of an
    attention (0 without); `layers` are those of a block, `middle` the depth in the middle, `added`
    the width of size and crop as conditions (0 without).
    """
    return Published(lambda: _unet(channels, depths, context, layers, middle, added))


def _unet(
    channels: tuple[int, ...],
    depths: tuple[int, ...],
    context: int,
    layers: int,
    middle: int,
    added: int,
) -> Iterator[tuple[str, Known]]:
    first, time, blocks = channels[0], 4 * channels[0], len(channels)
    yield "conv_in", (first, _VARIED, 3, 3)
    yield "conv_norm_out", (first,)
    yield "conv_out", (_VARIED, first, 3, 3)
    for name, width in {"time_embedding": first, "add_embedding": added}.items():
        if width:
            yield f"{name}.linear_1", (time, width)
            yield f"{name}.linear_2", (time, time)
    skips = [first]
    for block, (width, depth) in enumerate(zip(channels, depths, strict=True)):
        start = f"down_blocks.{block}"
        for layer in range(layers):
            yield from _resnet(f"{start}.resnets.{layer}", skips[-1], width, time)
            yield from _attention(f"{start}.attentions.{layer}", width, depth, context)
            skips.append(width)
        if block < blocks - 1:
            yield f"{start}.downsamplers.0.conv", (width, width, 3, 3)
            skips.append(width)
    current = channels[-1]
    for layer in range(2):
        yield from _resnet(f"mid_block.resnets.{layer}", current, current, time)
    yield from _attention("mid_block.attentions.0", current, middle, context)
    for block, (width, depth) in enumerate(zip(channels[::-1], depths[::-1], strict=True)):
        start = f"up_blocks.{block}"
        for layer in range(layers + 1):
            yield from _resnet(f"{start}.resnets.{layer}", current + skips.pop(), width, time)
            yield from _attention(f"{start}.attentions.{layer}", width, depth, context)
            current = width
        if block < blocks - 1:
            yield f"{start}.upsamplers.0.conv", (width, width, 3, 3)


def _resnet(start: str, width_in: int, width: int, time: int) -> Iterator[tuple[str, Known]]:
    yield f"{start}.norm1", (width_in,)
    yield f"{start}.conv1", (width, width_in, 3, 3)
    yield f"{start}.time_emb_proj", (width, time)
    yield f"{start}.norm2", (width,)
    yield f"{start}.conv2", (width, width, 3, 3)
    if width_in != width:
        yield f"{start}.conv_shortcut", (width, width_in, 1, 1)


def _attention(start: str, width: int, depth: int, context: int) -> Iterator[tuple[str, Known]]:
    if not depth:
        return
    yield f"{start}.norm", (width,)
    yield f"{start}.proj_in", (width, width)
    yield f"{start}.proj_out", (width, width)
    for layer in range(depth):
        block = f"{start}.transformer_blocks.{layer}"
        for name, width_in in {"attn1": width, "attn2": context}.items():
            yield f"{block}.{name}.to_q", (width, width)
            yield f"{block}.{name}.to_k", (width, width_in)
            yield f"{block}.{name}.to_v", (width, width_in)
            yield f"{block}.{name}.to_out.0", (width, width)
        yield f"{block}.ff.net.0.proj", (8 * width, width)
        yield f"{block}.ff.net.2", (width, 4 * width)
        for norm in range(1, 4):
            yield f"{block}.norm{norm}", (width,)


def clip(width: int, layers: int, *, inner: int = 0, projects: bool = False) -> Published:
    """Return CLIP's text encoder; `inner` is the width within the perceptron, 4 times by itself."""
    return Published(lambda: _clip(width, layers, inner or 4 * width, projects))


def _clip(width: int, layers: int, inner: int, projects: bool) -> Iterator[tuple[str, Known]]:
    yield "text_model.embeddings.token_embedding", (_VARIED, width)
    yield "text_model.embeddings.position_embedding", (_VARIED, width)
    for layer in range(layers):
        start = f"text_model.encoder.layers.{layer}"
        for name in ("q_proj", "k_proj", "v_proj", "out_proj"):
            yield f"{start}.self_attn.{name}", (width, width)
        yield f"{start}.mlp.fc1", (inner, width)
        yield f"{start}.mlp.fc2", (width, inner)
        yield f"{start}.layer_norm1", (width,)
        yield f"{start}.layer_norm2", (width,)
    yield "text_model.final_layer_norm", (width,)
    if projects:
        yield "text_projection", (width, width)


def t5(width: int, layers: int, inner: int, heads: int) -> Published:
    """Return the encoder of T5 1.1, whose heads are 64 wide; `inner` is the perceptron's width."""
    return Published(lambda: _t5(width, layers, inner, heads))


def _t5(width: int, layers: int, inner: int, heads: int) -> Iterator[tuple[str, Known]]:
    yield "shared", (_VARIED, width)
    yield "encoder.embed_tokens", (_VARIED, width)
    yield "encoder.final_layer_norm", (width,)
    for block in range(layers):
        attention, perceptron = (f"encoder.block.{block}.layer.{at}" for at in range(2))
        for name in "qkv":
            yield f"{attention}.SelfAttention.{name}", (64 * heads, width)
        yield f"{attention}.SelfAttention.o", (width, 64 * heads)
        if not block:
            yield f"{attention}.SelfAttention.relative_attention_bias", (_VARIED, heads)
        yield f"{attention}.layer_norm", (width,)
        yield f"{perceptron}.DenseReluDense.wi_0", (inner, width)
        yield f"{perceptron}.DenseReluDense.wi_1", (inner, width)
        yield f"{perceptron}.DenseReluDense.wo", (width, inner)
        yield f"{perceptron}.layer_norm", (width,)


def flux(width: int, double: int, single: int, head: int = 128) -> Published:
    """Return FLUX.1's transformer: `double` blocks of two streams, then `single` ones."""
    return Published(lambda: _flux(width, double, single, head))


def _flux(width: int, double: int, single: int, head: int) -> Iterator[tuple[str, Known]]:
    yield "x_embedder", (width, _VARIED)
    yield "context_embedder", (width, 4096)
    for name, size in {"timestep": 256, "guidance": 256, "text": 768}.items():
        yield f"time_text_embed.{name}_embedder.linear_1", (width, size)
        yield f"time_text_embed.{name}_embedder.linear_2", (width, width)
    for block in range(double):
        start = f"transformer_blocks.{block}"
        yield f"{start}.norm1.linear", (6 * width, width)
        yield f"{start}.norm1_context.linear", (6 * width, width)
        yield from _joint_attention(f"{start}.attn", width, head)
        yield from _perceptron(f"{start}.ff", width)
        yield from _perceptron(f"{start}.ff_context", width)
    for block in range(single):
        start = f"single_transformer_blocks.{block}"
        yield f"{start}.norm.linear", (3 * width, width)
        for name in "qkv":
            yield f"{start}.attn.to_{name}", (width, width)
        yield f"{start}.attn.norm_q", (head,)
        yield f"{start}.attn.norm_k", (head,)
        yield f"{start}.proj_mlp", (4 * width, width)
        yield f"{start}.proj_out", (width, 5 * width)
    yield "norm_out.linear", (2 * width, width)
    yield "proj_out", (_VARIED, width)


def sd3(width: int, blocks: int, *, dual: int = 0, head: int = 64) -> Published:
    """Return the transformer of Stable Diffusion 3; `dual` blocks have two attentions."""
    return Published(lambda: _sd3(width, blocks, dual, head))


def _sd3(width: int, blocks: int, dual: int, head: int) -> Iterator[tuple[str, Known]]:
    yield "pos_embed", (1, _VARIED, width)
    yield "pos_embed.proj", (width, _VARIED, 2, 2)
    yield "context_embedder", (width, 4096)
    for name, size in {"timestep": 256, "text": 2048}.items():
        yield f"time_text_embed.{name}_embedder.linear_1", (width, size)
        yield f"time_text_embed.{name}_embedder.linear_2", (width, width)
    for block in range(blocks):
        start, is_last = f"transformer_blocks.{block}", block == blocks - 1
        yield f"{start}.norm1.linear", ((9 if block < dual else 6) * width, width)
        yield f"{start}.norm1_context.linear", ((2 if is_last else 6) * width, width)
        yield from _joint_attention(f"{start}.attn", width, head, is_last=is_last)
        if block < dual:
            yield from _self_attention(f"{start}.attn2", width, head)
        yield from _perceptron(f"{start}.ff", width)
        if not is_last:
            yield from _perceptron(f"{start}.ff_context", width)
    yield "norm_out.linear", (2 * width, width)
    yield "proj_out", (_VARIED, width)


def _self_attention(start: str, width: int, head: int) -> Iterator[tuple[str, Known]]:
    for name in ("to_q", "to_k", "to_v", "to_out.0"):
        yield f"{start}.{name}", (width, width)
    yield f"{start}.norm_q", (head,)
    yield f"{start}.norm_k", (head,)


def _joint_attention(
    start: str, width: int, head: int, *, is_last: bool = False
) -> Iterator[tuple[str, Known]]:
    yield from _self_attention(start, width, head)
    for name in ("add_q_proj", "add_k_proj", "add_v_proj"):
        yield f"{start}.{name}", (width, width)
    if not is_last:
        yield f"{start}.to_add_out", (width, width)
    yield f"{start}.norm_added_q", (head,)
    yield f"{start}.norm_added_k", (head,)


def _perceptron(start: str, width: int) -> Iterator[tuple[str, Known]]:
    yield f"{start}.net.0.proj", (4 * width, width)
    yield f"{start}.net.2", (width, 4 * width)


CLIP_L: Final = clip(768, 12)
CLIP_L_WITH_PROJECTION: Final = clip(768, 12, projects=True)
# OpenCLIP's ViT-H/14 has 24 layers; Stable Diffusion 2 uses 23.
CLIP_H: Final = clip(1024, 24)
CLIP_G: Final = clip(1280, 32, projects=True)
T5_XXL: Final = t5(4096, 24, 10240, 64)

UNET_1: Final = unet((320, 640, 1280, 1280), (1, 1, 1, 0), 768)
UNET_2: Final = unet((320, 640, 1280, 1280), (1, 1, 1, 0), 1024)
UNET_XL: Final = unet((320, 640, 1280), (0, 2, 10), 2048, middle=10, added=2816)
UNET_REFINER: Final = unet((384, 768, 1536, 1536), (0, 4, 4, 0), 1280, middle=4, added=2560)
PLAYGROUND_UNET: Final = unet((48, 96, 144), (0, 1, 1), 128, layers=1)
PLAYGROUND_CLIP: Final = clip(128, 2, inner=384)

# Medium, 3.5 medium and 3.5 large.
SD3_TRANSFORMERS: Final = (sd3(1536, 24), sd3(1536, 24, dual=13), sd3(2432, 38))
FLUX_TRANSFORMERS: Final = (flux(3072, 19, 38),)
"""Source: the `config.json` of the models' repositories on the hub."""
