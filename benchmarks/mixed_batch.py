"""One batch in which every picture wears its own LoRAs, against the same pictures one by one.

    python benchmarks/mixed_batch.py [--rounds 5]

Eight LoRAs with random factors are attached on both sides all the time; picture i wears LoRA i and,
more weakly, its neighbour. Both sides are run in turn in one process; the ratio of the medians is
printed, and the largest difference of any pixel.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time

import torch

import loraloom
from loraloom.adapters import Card
from loraloom.generation import ImageRequest, SamplingSettings, sample
from loraloom.training.targets import Ranks, fresh_adapter

COUNT = 8


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description="A mixed batch against single pictures.")
    parser.add_argument("--model", default="playground", help="base model (default: playground)")
    parser.add_argument("--rounds", type=int, default=5, help="rounds, interleaved (default: 5)")
    parser.add_argument("--steps", type=int, default=20, help="denoising steps (default: 20)")
    arguments = parser.parse_args()
    model = loraloom.load(arguments.model)
    generator = torch.Generator().manual_seed(0)
    adapters: dict[str, loraloom.Adapter] = {}
    for number in range(COUNT):
        card = Card(family=model.family, name=f"lora{number}")
        fresh = fresh_adapter(model.networks, Ranks(linear=16, linear_alpha=16), card, generator)
        for delta in fresh.deltas.values():
            up = delta.parts()["up"]
            up.copy_(0.02 * torch.randn(up.shape, generator=generator))
        adapters[card.name] = fresh
    requests = [
        ImageRequest(
            prompt="a red ball in a meadow",
            seed=number,
            strengths={
                f"lora{number}": dict.fromkeys(model.networks, 1.0),
                f"lora{(number + 1) % COUNT}": dict.fromkeys(model.networks, 0.3),
            },
        )
        for number in range(COUNT)
    ]
    side = model.resolution
    settings = SamplingSettings(steps=arguments.steps, width=side, height=side)
    batch_seconds: list[float] = []
    single_seconds: list[float] = []
    difference = 0.0
    with loraloom.attach(model.networks, adapters, 0.0) as attachment:
        sample(model, attachment, requests, settings)
        for _ in range(arguments.rounds):
            begun = time.perf_counter()
            together = sample(model, attachment, requests, settings)
            batch_seconds.append(time.perf_counter() - begun)
            begun = time.perf_counter()
            alone = [sample(model, attachment, [request], settings) for request in requests]
            single_seconds.append(time.perf_counter() - begun)
            singles = torch.cat([pixels for pixels in alone if pixels is not None])
            assert together is not None
            difference = max(difference, float((together - singles).abs().max()) * 127.5)
    batch, single = statistics.median(batch_seconds), statistics.median(single_seconds)
    sys.stdout.write(
        f"one batch of {COUNT}: {batch:.2f} s; {COUNT} single runs: {single:.2f} s "
        f"(medians of {arguments.rounds}, interleaved)\n"
        f"the batch is {single / batch:.2f} times as fast\n"
        f"largest difference of a pixel: {difference:.4f} of 255\n"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
