"""What LoRAs cost a linear layer: ours, PEFT's layers, and the plain way, against the bare layer.

    python benchmarks/worn_layers.py [--rounds 15] [--train]

Each side runs the same stack of layers with the same random factors of rank 16 at strength 0.7, in
turn in one process on one thread. Processor time is counted, so that other work on the machine
disturbs little. Printed are the medians as multiples of the bare layers' median.
"""

from __future__ import annotations

import argparse
import copy
import statistics
import sys
import time
import warnings

import torch
import torch.nn.functional as F
from peft import LoraConfig, inject_adapter_in_model
from torch import Tensor, nn

import loraloom
from loraloom.adapters import Card, Lora, Site

RANK = 16
STRENGTH = 0.7
DEPTH = 4
SHAPES = ((4096, 320), (1024, 640), (256, 1280), (77, 768))
"""Tokens and width: the levels of SD 1.5's UNet at 512 pixels, and its text encoder."""


class Plain(nn.Module):
    """A layer and its LoRAs, as one would write it down."""

    def __init__(self, layer: nn.Linear, factors: list[tuple[Tensor, Tensor]]) -> None:
        super().__init__()
        self.layer, self.factors = layer, factors

    def forward(self, x: Tensor) -> Tensor:
        """Add every product to the layer's output."""
        y = self.layer(x)
        for down, up in self.factors:
            y = y + STRENGTH * F.linear(F.linear(x, down), up)
        return y


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description="The cost of worn LoRAs, layer by layer.")
    parser.add_argument("--rounds", type=int, default=15, help="rounds, interleaved (default: 15)")
    parser.add_argument("--train", action="store_true", help="forward and backward, not inference")
    arguments = parser.parse_args()
    warnings.filterwarnings("ignore", "Already found a `peft_config`")  # three are meant
    torch.set_num_threads(1)
    torch.manual_seed(0)
    for tokens, width in SHAPES:
        for count in (1, 3):
            sides = build(width, count, arguments.train)
            times = measure(sides, torch.randn(1, tokens, width), arguments)
            base = statistics.median(times["bare"])
            told = ", ".join(
                f"{name} {statistics.median(each) / base:.2f}" for name, each in times.items()
            )
            sys.stdout.write(f"{tokens} tokens, {width} wide, {count} LoRAs: {told}\n")
    return 0


def build(width: int, count: int, train: bool) -> dict[str, nn.Module]:
    """Return the same layers bare and with the same LoRAs on them in three ways."""
    bare = nn.Sequential(*(nn.Linear(width, width) for _ in range(DEPTH))).requires_grad_(False)
    factors = [
        [(torch.randn(RANK, width) / 100, torch.randn(width, RANK) / 100) for _ in range(count)]
        for _ in range(DEPTH)
    ]
    plain = nn.Sequential(
        *(
            Plain(layer, [(nn.Parameter(d, train), nn.Parameter(u, train)) for d, u in each])
            for layer, each in zip(bare, factors, strict=True)
        )
    )
    names = [f"lora{number}" for number in range(count)]
    theirs: nn.Module = copy.deepcopy(bare)
    config = LoraConfig(r=RANK, lora_alpha=RANK, target_modules=[str(n) for n in range(DEPTH)])
    for name in names:
        theirs = inject_adapter_in_model(config, theirs, name)
    for layer, each in zip(theirs, factors, strict=True):
        for name, (down, up) in zip(names, each, strict=True):
            layer.lora_A[name].weight.data.copy_(down)
            layer.lora_B[name].weight.data.copy_(up)
            layer.set_scale(name, STRENGTH)
        layer.set_adapter(names)
    theirs.requires_grad_(False)
    for name, parameter in theirs.named_parameters():
        parameter.requires_grad_(train and "lora_" in name)
    ours = copy.deepcopy(bare)
    adapters = {
        name: loraloom.Adapter(
            deltas={
                Site("model", f"{layer}.weight"): Lora(*each[number], float(RANK))
                for layer, each in enumerate(factors)
            },
            card=Card(family=""),
        )
        for number, name in enumerate(names)
    }
    loraloom.attach({"model": ours}, adapters, STRENGTH, trainable=train)
    return {"bare": bare, "ours": ours, "PEFT": theirs, "plain": plain}


def measure(
    sides: dict[str, nn.Module], x: Tensor, arguments: argparse.Namespace
) -> dict[str, list[float]]:
    """Return each side's times; those with LoRAs must agree."""
    with torch.no_grad():
        outputs = {name: side(x) for name, side in sides.items()}
    for name in ("PEFT", "plain"):
        torch.testing.assert_close(outputs["ours"], outputs[name], rtol=1e-4, atol=1e-4)
    times: dict[str, list[float]] = {name: [] for name in sides}
    for turn in range(arguments.rounds + 2):
        for name, side in sides.items():
            given = x.clone().requires_grad_(arguments.train)
            begun = time.process_time()
            with torch.inference_mode(not arguments.train):
                output = side(given)
            if arguments.train:
                output.sum().backward()
            if turn >= 2:
                times[name].append(time.process_time() - begun)
    return times


if __name__ == "__main__":
    sys.exit(main())
