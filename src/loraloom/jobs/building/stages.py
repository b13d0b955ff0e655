"""The stages of the build in their order: what each trains, on which pictures."""

# The model classes of diffusers are only partly typed.
# pyright: reportUnknownVariableType=false, reportUnknownArgumentType=false
# pyright: reportPrivateImportUsage=false

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from importlib.resources import files
from pathlib import Path
from types import MappingProxyType
from typing import Final

import numpy as np
import torch
from diffusers import AutoencoderKL
from safetensors.torch import load_file, save_file
from torch import Tensor

from loraloom.jobs.building.autoencoder import (
    autoencoder_course,
    decoder_course,
    new_autoencoder,
)
from loraloom.jobs.building.captioner import captioner_course, lessons_of, new_captioner
from loraloom.jobs.building.course import Course
from loraloom.jobs.building.diffusion import base_course, encode_pictures, new_base
from loraloom.jobs.building.judge import judge_course, truths
from loraloom.jobs.building.pool import Pool
from loraloom.jobs.building.tokenizer import learn_tokenizer
from loraloom.jobs.building.wordpieces import captioner_processor, world_captions
from loraloom.jobs.building.work import (
    AUTOENCODER_SEED,
    BASE_SEED,
    CAPTIONER_SEED,
    CAPTIONS_PER_PICTURE,
    DECODER_SEED,
    JUDGE_SEED,
    MERGES,
    Work,
)
from loraloom.models.sd1.stable_diffusion import StableDiffusion
from loraloom.playground.captions import caption
from loraloom.playground.judge import Judge
from loraloom.playground.scenes import Scene, is_held_out

_EXAMPLES = 1500
"""Pictures from which the captioner's first look at a patch is made."""


def _autoencoder(work: Work) -> Course:
    pictures = work.all_styles.pixels()
    network = new_autoencoder(AUTOENCODER_SEED)
    return autoencoder_course(network, pictures, work.folder, AUTOENCODER_SEED)


def base_on(work: Work, autoencoder: Path | None) -> Course:
    """Return the base's course on an autoencoder; None is the one that `work` trained."""
    model = untrained_base(work, autoencoder)
    pictures = work.plain.pixels()
    kept = work.folder / "latents.safetensors"
    if autoencoder is None and kept.exists():
        latents = load_file(kept)["latents"]
    else:
        latents = encode_pictures(model.vae, pictures)
        if autoencoder is None:
            save_file({"latents": latents}, kept)
    model.vae.register_to_config(scaling_factor=_scaling_factor(latents))
    captions = [_captions(work.plain, number) for number in range(work.plain.count)]
    scaled = latents * model.vae.config["scaling_factor"]
    return base_course(model, scaled, captions, work.folder, BASE_SEED)


def _judge(work: Work) -> Course:
    torch.manual_seed(JUDGE_SEED)
    pictures = work.judged.pixels()
    return judge_course(Judge(), pictures, truths(work.judged), work.folder, JUDGE_SEED)


def _captioner(work: Work) -> Course:
    """Return the captioner's course, on pictures of other stages without the held-out triples."""
    pools = (work.judged, work.all_styles)
    told = [(pool, number, *pool.scene(number)) for pool in pools for number in range(pool.count)]
    kept = [each for each in told if not _shows_held_out(each[2])]
    chosen = [[number for pool, number, *_ in kept if pool == each] for each in pools]
    pictures = np.concatenate(
        [pool.pixels()[numbers] for pool, numbers in zip(pools, chosen, strict=True)]
    )
    processor = captioner_processor(world_captions())
    scenes, captions = [each[2] for each in kept], [each[4] for each in kept]
    network = new_captioner(processor.tokenizer, CAPTIONER_SEED, pictures[:_EXAMPLES])
    lessons = lessons_of(processor.tokenizer, pictures, scenes, captions)
    padding = processor.tokenizer.pad_token_id
    return captioner_course(network, lessons, padding, work.folder, CAPTIONER_SEED)


def _shows_held_out(scene: Scene) -> bool:
    return any(is_held_out(thing.kind, thing.colour, scene.background) for thing in scene.things)


def _decoder(work: Work) -> Course:
    pictures = work.all_styles.pixels()
    return decoder_course(untrained_base(work).vae, pictures, work.folder, DECODER_SEED)


def untrained_base(work: Work, autoencoder: Path | None = None) -> StableDiffusion:
    """Return the untrained base around the trained autoencoder, rounded as it is shipped."""
    if autoencoder is None:
        vae = new_autoencoder(AUTOENCODER_SEED)
        averaged = work.averaged("autoencoder")
        vae.load_state_dict({name: value.half().float() for name, value in averaged.items()})
        kept = work.folder / "latents.safetensors"
        if kept.exists():
            factor = _scaling_factor(load_file(kept)["latents"])
            vae.register_to_config(scaling_factor=factor)
    else:
        vae = AutoencoderKL.from_pretrained(autoencoder, torch_dtype=torch.float32)
    corpus = [caption for n in range(4_000) for caption in _captions(work.plain, n)]
    lexicon = files("loraloom.playground").joinpath("lexicon.txt").read_text(encoding="utf-8")
    tokenizer = learn_tokenizer([*corpus, *lexicon.split()], MERGES)
    return new_base(vae, tokenizer, BASE_SEED)


def _scaling_factor(latents: Tensor) -> float:
    """Return the factor that gives the latents unit standard deviation, to four digits."""
    return round(float(1 / latents.std()), 4)


def _captions(pool: Pool, number: int) -> Sequence[str]:
    """Return some captions of one picture."""
    scene, _, first = pool.scene(number)
    generator = np.random.default_rng([pool.seed, number, 1])
    return [first, *(caption(scene, generator) for _ in range(CAPTIONS_PER_PICTURE - 1))]


STAGES: Final[Mapping[str, Callable[[Work], Course]]] = MappingProxyType(
    {
        "autoencoder": _autoencoder,
        "base": lambda work: base_on(work, None),
        "judge": _judge,
        "decoder": _decoder,
        "captioner": _captioner,
    }
)
