"""Our pictures against those of diffusers' own pipeline, on the packaged base.

    python benchmarks/agreement.py [--loras DIR] [--steps 20]

Two LoRAs, text encoder included, are written in kohya's and in diffusers' format; our sampler and
`StableDiffusionPipeline` read the same files and draw the same prompts from the same noise, in
fp32. One line per case tells the largest difference of any pixel and, so that it says something,
how far the pictures are from the bare base's. The exit status is 1 if a pixel differs by more than
2 of 255. Without `--loras` (a folder of adapter files, of which the first two are taken) both are
trained for a few steps. diffusers needs peft to load LoRAs.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import warnings
from collections import deque
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import diffusers
import numpy as np
import torch
import transformers
from numpy.typing import NDArray

import loraloom
from loraloom.generation import ImageRequest, SamplingSettings, sample
from loraloom.generation.images import to_pictures
from loraloom.jobs.demonstration.datasets import write_folder
from loraloom.models.model import AbstractModel
from loraloom.playground.packaged import base_folder
from loraloom.playground.styles import STYLES

ALLOWED = 2
SCENES = (
    "a red car in a meadow",
    "a white cat on the beach",
    "a pink heart at night",
    "a yellow moon at sunset",
    "a blue house in the snow",
    "a green tree in a room",
    "a purple fish on the beach",
    "an orange boat at sunset",
)
SCHEDULERS: Mapping[str, str] = {
    "DDIM": "DDIMScheduler",
    "DPM++ 2M": "DPMSolverMultistepScheduler",
}

Bytes = NDArray[np.int16]


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description="Our pictures against diffusers' own.")
    parser.add_argument("--loras", type=Path, help="folder of LoRAs for the packaged base")
    parser.add_argument("--steps", type=int, default=20, help="denoising steps (default: 20)")
    arguments = parser.parse_args()
    for library in (diffusers, transformers):
        library.utils.logging.set_verbosity_error()
        library.utils.logging.disable_progress_bar()
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        files = sorted((arguments.loras or trained(root)).glob("*.safetensors"))[:2]
        first, second = (loraloom.read_adapter(file) for file in files)
        worst = compared(first, second, root, arguments.steps)
    sys.stdout.write(f"largest difference of all: {worst} of 255, allowed: {ALLOWED}\n")
    return int(worst > ALLOWED)


def trained(root: Path) -> Path:
    """Train two styles for a few steps, at a rate that shows; return the folder of their files."""
    styles = ("cartoon", "watercolor")
    for style in styles:
        deque(write_folder(style, root / "data", seed=0), maxlen=0)
    settings = {
        "model": "playground",
        "network_dim": 8,
        "network_alpha": 8,
        "conv_dim": 8,
        "conv_alpha": 8,
        "learning_rate": 2e-3,
        "train_batch_size": 4,
        "max_train_steps": 30,
        "output_dir": root / "trained",
        "device": "cpu",
        "adapters": [
            {
                "name": style,
                "train_data_dir": root / "data" / style,
                "trigger": STYLES[style].trigger,
            }
            for style in styles
        ],
    }
    deque(loraloom.train(loraloom.Recipe.load(overrides=settings)), maxlen=0)
    return root / "trained"


def compared(first: loraloom.Adapter, second: loraloom.Adapter, root: Path, steps: int) -> int:
    """Print one line per case; return the largest difference of all."""
    names = [each.card.name for each in (first, second)]
    triggers = [word for each in (first, second) for word in each.card.triggers]
    prompts = [f"{triggers[n % len(triggers)]}, {scene}" for n, scene in enumerate(SCENES)]
    mixes = ({names[0]: 1.0}, {names[0]: 0.6}, {names[0]: 1.0, names[1]: 0.6})
    model = loraloom.load("playground", device="cpu", dtype="fp32")
    pipeline: Any = diffusers.StableDiffusionPipeline.from_pretrained(base_folder())
    pipeline.set_progress_bar_config(disable=True)
    worst = 0
    bare: dict[str, Bytes] = {}
    for sampler in SCHEDULERS:
        bare[sampler] = drawn(model, {}, {}, prompts, sampler, steps)
        theirs = drawn_by(pipeline, prompts, sampler, steps)
        worst = max(worst, told("no file", sampler, {}, bare[sampler], theirs, bare[sampler]))
    for form in ("kohya", "diffusers"):
        read = {}
        for adapter in (first, second):
            name = adapter.card.name
            path = root / f"{name}-{form}.safetensors"
            loraloom.write_adapter(adapter, path, format=form)
            read[name] = loraloom.read_adapter(path)
            assert {site.part for site in read[name].deltas} == {"unet", "text_encoder"}
            with warnings.catch_warnings():
                warnings.filterwarnings("ignore", "Already found a `peft_config`", UserWarning)
                pipeline.load_lora_weights(path, adapter_name=name)
        for sampler in SCHEDULERS:
            for mix in mixes:
                ours = drawn(model, read, mix, prompts, sampler, steps)
                pipeline.set_adapters(list(mix), list(mix.values()))
                theirs = drawn_by(pipeline, prompts, sampler, steps)
                worst = max(worst, told(form, sampler, mix, ours, theirs, bare[sampler]))
        pipeline.unload_lora_weights()
    return worst


def drawn(
    model: AbstractModel,
    adapters: Mapping[str, loraloom.Adapter],
    mix: Mapping[str, float],
    prompts: Sequence[str],
    sampler: str,
    steps: int,
) -> Bytes:
    """Draw with our sampler; the seed of a picture is its number."""
    worn = {name: dict.fromkeys(model.networks, weight) for name, weight in mix.items()}
    requests = [
        ImageRequest(prompt=prompt, seed=number, strengths=worn)
        for number, prompt in enumerate(prompts)
    ]
    side = model.resolution
    settings = SamplingSettings(sampler=sampler, steps=steps, cfg_scale=7, width=side, height=side)
    with loraloom.attach(model.networks, adapters, 0.0) as attachment:
        pixels = sample(model, attachment, requests, settings)
    assert pixels is not None
    return as_bytes(to_pictures(pixels))


def drawn_by(pipeline: Any, prompts: Sequence[str], sampler: str, steps: int) -> Bytes:
    """Draw with diffusers, from the same noise: one generator per picture."""
    kind = getattr(diffusers, SCHEDULERS[sampler])
    pipeline.scheduler = kind.from_config(pipeline.scheduler.config)
    pictures = pipeline(
        list(prompts),
        num_inference_steps=steps,
        guidance_scale=7,
        generator=[torch.Generator().manual_seed(number) for number in range(len(prompts))],
    ).images
    return as_bytes(pictures)


def as_bytes(pictures: Sequence[Any]) -> Bytes:
    """Return the pictures' bytes in a type that can be subtracted."""
    return np.stack([np.asarray(picture, dtype=np.int16) for picture in pictures])


def told(
    form: str, sampler: str, mix: Mapping[str, float], ours: Bytes, theirs: Bytes, bare: Bytes
) -> int:
    """Print one case; return its largest difference."""
    largest = int(abs(ours - theirs).max())
    worn = " + ".join(f"{name} {weight}" for name, weight in mix.items()) or "base"
    sys.stdout.write(
        f"{form:<9}  {sampler:<8}  {worn:<28}  largest difference {largest}/255"
        f"  (mean difference to the base {abs(ours - bare).mean():.1f}/255)\n"
    )
    sys.stdout.flush()
    return largest


if __name__ == "__main__":
    sys.exit(main())
