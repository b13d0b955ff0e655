"""The whole check of a training folder: decoding, sharpness, near duplicates, captions, report.

    python benchmarks/dataset_check.py [--pictures 20000] [--folder KEPT]

Writes JPEGs of 256x256 pixels with captions, one in fifty a recompressed copy of another, and looks
at them in a process of its own. Printed are pictures per second and processor time per picture of
the whole check, its peak memory beside that of the same process with one picture, and the share of
the looking. Decoding and measuring run on as many threads as there are processors.
"""

from __future__ import annotations

import argparse
import io
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageFilter

SIDE = 256
COPIES = 50


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description="The check of a training folder.")
    parser.add_argument("--pictures", type=int, default=20_000, help="how many (default: 20000)")
    parser.add_argument("--folder", type=Path, help="keep the pictures here and use them again")
    parser.add_argument("--measure", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.measure:
        sys.stdout.write(json.dumps(_measured(arguments.measure)))
        return 0
    with tempfile.TemporaryDirectory() as passing:
        root = arguments.folder or Path(passing)
        _write(root / "one", 1)
        _write(root / "many", arguments.pictures)
        one, many = (_in_own_process(root / name) for name in ("one", "many"))
    seconds, count = many["seconds"], many["images"]
    sys.stdout.write(
        f"{count} pictures of {SIDE}x{SIDE} in {seconds:.1f} s on {os.cpu_count()} processors: "
        f"{count / seconds:.0f} pictures/s\n"
        f"{1000 * many['processor'] / count:.2f} ms of processor time per picture: "
        f"{many['processor'] / seconds:.2f} processors were used\n"
        f"peak memory {many['memory']:.0f} MiB, with one picture {one['memory']:.0f} MiB: "
        f"{1024 * (many['memory'] - one['memory']) / count:.1f} KiB per picture\n"
        f"looking {many['look']:.1f} s, all else {seconds - many['look']:.1f} s\n"
        f"groups of near duplicates found: {many['groups']} of {count // COPIES} made\n"
    )
    return 0


def _write(folder: Path, count: int) -> None:
    """Write pictures that compress and differ as photographs do: soft shapes with some grain."""
    folder.mkdir(parents=True, exist_ok=True)
    if len(list(folder.glob("*.jpg"))) == count:
        return
    generator = np.random.default_rng(0)
    image = Image.new("RGB", (SIDE, SIDE))
    for number in range(count):
        is_copy = number % COPIES == COPIES - 1
        if not is_copy:
            shapes = Image.fromarray(generator.integers(0, 256, (12, 12, 3), np.uint8))
            soft = shapes.resize((SIDE, SIDE), Image.Resampling.BICUBIC)
            hard = shapes.resize((SIDE, SIDE), Image.Resampling.NEAREST)
            image = Image.blend(soft, hard.filter(ImageFilter.BoxBlur(1)), 0.5)
        content = io.BytesIO()
        image.save(content, "JPEG", quality=60 if is_copy else 90)
        (folder / f"{number:06d}.jpg").write_bytes(content.getvalue())
        caption = f"a drawing of {number % 97} red things, style {number % 13}\n"
        (folder / f"{number:06d}.txt").write_text(caption, encoding="utf-8")


def _in_own_process(folder: Path) -> dict[str, Any]:
    words = [sys.executable, __file__, "--measure", str(folder)]
    return json.loads(subprocess.run(words, capture_output=True, check=True, text=True).stdout)


def _measured(folder: Path) -> dict[str, Any]:
    import resource

    from loraloom.data.options import DataOptions
    from loraloom.events import Advanced, Examined
    from loraloom.jobs.dataset.check import CheckOptions, check

    options = CheckOptions(folders=(folder,), data=DataOptions(train_data_dir=folder))
    begun, processor = time.perf_counter(), time.process_time()
    looked = begun
    report: Any = {}
    for event in check(options):
        if isinstance(event, Advanced):
            looked = time.perf_counter()
        if isinstance(event, Examined):
            report = event.report
    seconds = time.perf_counter() - begun
    return {
        "seconds": seconds,
        "look": looked - begun,
        "processor": time.process_time() - processor,
        "images": report["images"],
        "groups": len(report["alike"]),
        # Linux tells kibibytes, macOS bytes.
        "memory": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        / (1024 if sys.platform == "linux" else 1024**2),
    }


if __name__ == "__main__":
    sys.exit(main())
