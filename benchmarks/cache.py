"""Reading latents: from this project's cache, kohya's way from .npz files, and plain PNG decoding.

    python benchmarks/cache.py [--pictures 64] [--side 512] [--rounds 15]

The same pictures are read in turn by each side in one process on one thread: a file per picture
with mean and deviation of SD 1.5's latents and a draw from them; an .npz as sd-scripts writes it,
with its latents, sizes and, as there too, the mirrored latents; and the picture itself, decoded and
brought to the range of pixels, which would still have to be encoded. Each file was read once before
the clock starts, so that all sides read from the system's memory. Processor time is counted, so
that other work on the machine disturbs little. Printed are medians per picture, their ratios to
ours, and ours as a share of a training step of --step seconds.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageFilter
from torch import Tensor

from loraloom.data.augment import View
from loraloom.data.cache import LatentCache
from loraloom.data.pixels import load_pixels
from loraloom.data.shot import Shot
from loraloom.data.store import LatentStore

Side = Callable[[int], Tensor]


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description="Reading latents, three ways.")
    parser.add_argument("--pictures", type=int, default=64, help="how many (default: 64)")
    parser.add_argument("--side", type=int, default=512, help="pixels (default: 512)")
    parser.add_argument("--rounds", type=int, default=15, help="rounds, interleaved (default: 15)")
    parser.add_argument("--step", type=float, help="seconds of a training step of one picture")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    with tempfile.TemporaryDirectory() as folder:
        sides = build(Path(folder), arguments.pictures, arguments.side)
        times = measure(sides, arguments.pictures, arguments.rounds)
    medians = {name: statistics.median(each) / arguments.pictures for name, each in times.items()}
    ours = medians["ours"]
    lines = [f"{arguments.side}x{arguments.side}, processor time per picture:"]
    lines += [
        f"  {name:5} {1e3 * seconds:8.3f} ms, {seconds / ours:6.2f} times ours"
        for name, seconds in medians.items()
    ]
    if arguments.step:
        lines.append(f"ours is {100 * ours / arguments.step:.3f} % of a step of {arguments.step} s")
    sys.stdout.write("\n".join(lines) + "\n")
    return 0


def build(root: Path, count: int, side: int) -> dict[str, Side]:
    """Write all files; return what reads one of them, by name."""
    store = LatentStore(root / "cache", encoder="0" * 64, dtype="float32", title="benchmark")
    cache = LatentCache(_encode, store)
    shots = [_shot(root / f"{number}.png", side) for number in range(count)]
    for _ in cache.fill(shots):
        pass
    for shot in shots:
        row = cache.rows([(shot, View())])
        np.savez(
            shot.path.with_suffix(".npz"),
            latents=row.means[0].numpy(),
            original_size=np.array(shot.size),
            crop_ltrb=np.array((0, 0, side, side)),
            latents_flipped=row.means[0].flip(-1).numpy(),
        )

    def ours(number: int) -> Tensor:
        row = cache.rows([(shots[number], View())])
        return row.means + row.deviations * torch.randn(row.means.shape)

    def kohya(number: int) -> Tensor:
        file = np.load(shots[number].path.with_suffix(".npz"))
        file["original_size"].tolist()
        file["crop_ltrb"].tolist()
        file["latents_flipped"]
        return torch.from_numpy(file["latents"])

    def png(number: int) -> Tensor:
        return load_pixels(shots[number].path, side, side)

    return {"ours": ours, "npz": kohya, "png": png}


def measure(sides: dict[str, Side], count: int, rounds: int) -> dict[str, list[float]]:
    """Return the processor time of each round, after one that does not count."""
    times: dict[str, list[float]] = {name: [] for name in sides}
    for turn in range(rounds + 1):
        for name, side in sides.items():
            begun = time.process_time()
            for number in range(count):
                side(number)
            if turn:
                times[name].append(time.process_time() - begun)
    return times


def _shot(path: Path, side: int) -> Shot:
    """Write a picture that compresses as photographs do: soft shapes with some grain."""
    generator = np.random.default_rng(int(path.stem))
    shapes = Image.fromarray(generator.integers(0, 256, (16, 16, 3), np.uint8))
    soft = shapes.resize((side, side), Image.Resampling.BICUBIC).filter(ImageFilter.BoxBlur(2))
    grain = generator.normal(0, 4, (side, side, 3))
    values = np.clip(np.asarray(soft) + grain, 0, 255).astype(np.uint8)
    Image.fromarray(values).save(path)
    return Shot(path=path, size=(side, side), target=(side, side))


def _encode(pixels: Tensor) -> tuple[Tensor, Tensor]:
    """Stand in for SD 1.5's image encoder: four channels of an eighth of the side."""
    shape = (len(pixels), 4, pixels.shape[2] // 8, pixels.shape[3] // 8)
    return torch.randn(shape), torch.rand(shape)


if __name__ == "__main__":
    sys.exit(main())
