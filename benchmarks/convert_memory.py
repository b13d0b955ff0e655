"""The memory that converting an adapter file takes, and the time that a look at its header takes.

    python benchmarks/convert_memory.py [--rank 26] [--repeats 5]

A kohya file in fp16 with random factors for all attention and feed-forward layers of SDXL's UNet:
some 150 MB at rank 26. Each conversion is `loraloom.jobs`' own, in a process of its own, and the
peak of that process's resident memory is compared with that of a process that imports torch and no
more. Mapped pages of the file count as well. `lora info` is run from the shell, without hashes;
the median time is printed.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import torch
from merge import lora, sdxl_shapes

from loraloom.formats.files import write_adapter

# Not getrusage's, which on Linux counts what the parent held when the process was forked.
PEAK = """
status = open("/proc/self/status").read().splitlines()
print(next(line.split()[1] for line in status if line.startswith("VmHWM")))
"""
CONVERT = """
import sys
from loraloom.cli.main import main
assert main(["lora", "convert", *{words!r}, "--quiet"]) == 0
"""
CONVERSIONS = tuple(
    (format, dtype) for format in ("peft", "diffusers", "kohya") for dtype in ("", "fp32", "bf16")
)


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description="Memory of a conversion, time of a look.")
    parser.add_argument("--rank", type=int, default=26, help="rank of every layer")
    parser.add_argument("--repeats", type=int, default=5, help="runs of `lora info`")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        file = folder / "large.safetensors"
        adapter = lora(sdxl_shapes(), arguments.rank, "a")
        write_adapter(adapter, file, "kohya", torch.float16)
        del adapter
        size = file.stat().st_size
        bare = peak("import torch")
        sys.stdout.write(f"{size / 1e6:.0f} MB; a bare torch import takes {bare / 1e6:.0f} MB\n")
        for format, dtype in CONVERSIONS:
            target = folder / f"{format}-{dtype}{'' if format == 'peft' else '.safetensors'}"
            words = [str(file), str(target), "--to", format, *(["--dtype", dtype] if dtype else [])]
            above = peak(CONVERT.format(words=words)) - bare
            sys.stdout.write(
                f"kohya to {format:9} {dtype or 'as it is':8} {above / 1e6:5.0f} MB above, "
                f"{above / size:.2f} times the file\n"
            )
        seconds = [look(file) for _ in range(arguments.repeats)]
        sys.stdout.write(
            f"lora info: median {statistics.median(seconds):.2f} s of "
            f"{', '.join(f'{each:.2f}' for each in seconds)}\n"
        )
    return 0


def peak(program: str) -> int:
    """Return the most memory, in bytes, that a process took for a program."""
    run = subprocess.run(
        [sys.executable, "-c", program + PEAK], check=True, capture_output=True, text=True
    )
    return int(run.stdout.split()[-1]) * 1024


def look(file: Path) -> float:
    """Return the seconds that `lora info` takes, processor's and waiting."""
    begun = time.perf_counter()
    command = [sys.executable, "-m", "loraloom", "lora", "info", str(file)]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, env={**os.environ, "LANG": "C"})
    return time.perf_counter() - begun


if __name__ == "__main__":
    sys.exit(main())
