"""An SVD merge of two LoRAs for SDXL's UNet, through their factors and through whole matrices.

    python benchmarks/merge.py [--rank 32] [--samples 2] [--threads 1]

Two LoRAs with random factors, as large as ones trained on all attention and feed-forward layers.
One side is `loraloom.composing.merge`, which decomposes the factors; the other forms the sum of the
updates, as kohya's svd_merge_lora.py and PEFT's add_weighted_adapter do, and decomposes that with
torch.linalg.svd. Both are run in turn in one process, on a few weights of every shape; their times
by shape, scaled to all weights of that shape, are added up, and the ratio of the sums is printed.
With --whole the factors' side is timed on all weights at once too.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from collections import Counter

import torch
from diffusers import UNet2DConditionModel
from diffusers.models.transformers.transformer_2d import Transformer2DModel
from torch import Tensor, nn

from loraloom.adapters import Adapter, Card, Lora, Site
from loraloom.composing import Composition, MergeSettings, Truncation, merge

# stabilityai/stable-diffusion-xl-base-1.0, unet/config.json
SDXL = {
    "addition_embed_type": "text_time",
    "addition_time_embed_dim": 256,
    "attention_head_dim": (5, 10, 20),
    "block_out_channels": (320, 640, 1280),
    "cross_attention_dim": 2048,
    "down_block_types": ("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
    "layers_per_block": 2,
    "projection_class_embeddings_input_dim": 2816,
    "sample_size": 128,
    "transformer_layers_per_block": (1, 2, 10),
    "up_block_types": ("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"),
    "use_linear_projection": True,
}
WEIGHTS = {"a": 0.7, "b": 0.5}


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description="An SVD merge by factors and by matrices.")
    parser.add_argument("--rank", type=int, default=32, help="rank of both and of the result")
    parser.add_argument("--samples", type=int, default=2, help="weights of each shape")
    parser.add_argument("--threads", type=int, default=2, help="threads for both sides")
    parser.add_argument("--whole", action="store_true", help="merge all weights too")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    shapes = sdxl_shapes()
    counts = Counter(shapes.values())
    factors, matrices = 0.0, 0.0
    difference = 0.0
    by_shape = {
        shape: [site for site, each in shapes.items() if each == shape][: arguments.samples]
        for shape in counts
    }
    warm_up = next(iter(shapes))
    by_factors({name: lora({warm_up: (640, 640)}, arguments.rank, name) for name in WEIGHTS}, 1)
    for shape, sites in by_shape.items():
        factor_seconds: list[float] = []
        matrix_seconds: list[float] = []
        for site in sites:
            pair = {name: lora({site: shape}, arguments.rank, name) for name in WEIGHTS}
            begun = time.perf_counter()
            ours = by_factors(pair, arguments.rank)
            factor_seconds.append(time.perf_counter() - begun)
            begun = time.perf_counter()
            theirs = by_matrix(pair, site, arguments.rank)
            matrix_seconds.append(time.perf_counter() - begun)
            found = ours.adapter.deltas[site].delta(None)
            expected = theirs[0] @ theirs[1]
            difference = max(difference, float((found - expected).norm() / expected.norm()))
        factor, matrix = statistics.median(factor_seconds), statistics.median(matrix_seconds)
        factors += factor * counts[shape]
        matrices += matrix * counts[shape]
        sys.stdout.write(
            f"{shape[0]:>6} x {shape[1]:<5} {counts[shape]:>4} weights, {len(sites)} measured: "
            f"factors {factor * 1000:8.1f} ms, matrix {matrix * 1000:8.1f} ms, "
            f"{matrix / factor:6.1f} times\n"
        )
    sys.stdout.write(
        f"all {len(shapes)} weights, rank {arguments.rank} and {arguments.rank} to "
        f"{arguments.rank}, {arguments.threads} threads, scaled from the medians above:\n"
        f"by factors {factors:.1f} s, by matrices {matrices:.1f} s\n"
        f"the factors are {matrices / factors:.1f} times as fast\n"
        f"largest relative difference of the results: {difference:.1e}\n"
    )
    if arguments.whole:
        pair = {name: lora(shapes, arguments.rank, name) for name in WEIGHTS}
        begun = time.perf_counter()
        by_factors(pair, arguments.rank)
        sys.stdout.write(f"all weights by factors at once: {time.perf_counter() - begun:.1f} s\n")
    return 0


def sdxl_shapes() -> dict[Site, tuple[int, ...]]:
    """Return the shapes of all linear layers in the transformers of the UNet."""
    with torch.device("meta"):
        unet = UNet2DConditionModel(**SDXL)
    return {
        Site("unet", f"{outer}.{inner}.weight"): tuple(layer.weight.shape)
        for outer, block in unet.named_modules()
        if isinstance(block, Transformer2DModel)
        for inner, layer in block.named_modules()
        if isinstance(layer, nn.Linear)
    }


def lora(shapes: dict[Site, tuple[int, ...]], rank: int, name: str) -> Adapter:
    """Return a LoRA with random factors."""
    generator = torch.Generator().manual_seed(len(shapes) + ord(name))
    deltas = {
        site: Lora(
            torch.randn(rank, shape[1], generator=generator),
            0.02 * torch.randn(shape[0], rank, generator=generator),
            rank / 2,
        )
        for site, shape in shapes.items()
    }
    return Adapter(deltas=deltas, card=Card(family="sdxl", name=name))


def by_factors(pair: dict[str, Adapter], rank: int) -> Composition:
    """Merge with this project."""
    settings = MergeSettings(mode="svd", truncation=Truncation.to(rank))
    return merge(pair, WEIGHTS, settings)


def by_matrix(pair: dict[str, Adapter], site: Site, rank: int) -> tuple[Tensor, Tensor]:
    """Merge one weight through its whole update."""
    whole = sum(WEIGHTS[name] * adapter.deltas[site].delta(None) for name, adapter in pair.items())
    u, values, vh = torch.linalg.svd(whole, full_matrices=False)
    return u[:, :rank] * values[:rank], vh[:rank]


if __name__ == "__main__":
    sys.exit(main())
