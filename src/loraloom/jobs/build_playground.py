"""The program that makes the playground's weights, from nothing but this package and seeds.

    python -m loraloom.jobs.build_playground WORK            go on where the last run stopped
    python -m loraloom.jobs.build_playground WORK --adopt    go on from the weights in the package
    python -m loraloom.jobs.build_playground WORK --package  write what is trained into the package
    python -m loraloom.jobs.build_playground WORK --verify   replay 100 steps against the logs

WORK is a folder for pictures, checkpoints and logs; it needs about 3 GB. `--stage NAME` trains one
stage alone: base and decoder need only the autoencoder, so two processes may do them side by side.
The captioner needs none of the others, and is measured when it is done.
"""

# The model classes of diffusers are only partly typed.
# pyright: reportUnknownVariableType=false, reportUnknownArgumentType=false
# pyright: reportPrivateImportUsage=false

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
import torch
from diffusers import AutoencoderKL
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from loraloom.errors import SetupError
from loraloom.events import Advanced, Event, Measured, PhaseStarted
from loraloom.jobs.building.autoencoder import (
    autoencoder_course,
    decoder_course,
    decoder_of,
    new_autoencoder,
)
from loraloom.jobs.building.base import base_course, encode_pictures, new_base
from loraloom.jobs.building.captioner import captioner_course, lessons_of, new_captioner
from loraloom.jobs.building.card import write_card
from loraloom.jobs.building.course import Course
from loraloom.jobs.building.judge import judge_course, truths
from loraloom.jobs.building.logs import log_file, read_entries, write_entries
from loraloom.jobs.building.pool import Pool
from loraloom.jobs.building.replay import compare
from loraloom.jobs.building.retelling import read_captioner, retold, save_captioner
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
from loraloom.models.load import load_model
from loraloom.models.sd1.save import save_folder
from loraloom.models.sd1.stable_diffusion import StableDiffusion
from loraloom.playground.captions import caption
from loraloom.playground.judge import Judge, load_judge
from loraloom.playground.packaged import weights_folder
from loraloom.playground.scenes import Scene, is_held_out

REPLAYED_STEPS = 100
_THREADS_UNTIL_LOGGED = 2
"""Processor threads of the stages whose logs do not name them yet."""

_EXAMPLES = 1500
"""Pictures from which the captioner's first look at a patch is made."""

STAGES = ("autoencoder", "base", "judge", "decoder", "captioner")


def build(work: Work, stages: Sequence[str] = STAGES) -> Iterator[Event]:
    """Train what is not trained yet of these stages, in their order; yield progress."""
    pools = {
        "base": (work.plain,),
        "judge": (work.judged,),
        "captioner": (work.judged, work.all_styles, work.recounted),
    }
    courses = {
        "autoencoder": _autoencoder,
        "base": _base,
        "judge": _judge,
        "decoder": _decoder,
        "captioner": _captioner,
    }
    for stage in stages:
        for pool in pools.get(stage, (work.all_styles,)):
            yield from _draw(pool)
        yield from courses[stage](work).run()
        if stage == "captioner":
            yield from _retell(work)


def adopt(work: Work, shipped: Path) -> Iterator[Event]:
    """Make checkpoints of the shipped weights where `work` has none, and take over their logs.

    Checkpoints are far larger than weights and live only where they were made; with this, training
    goes on anywhere. Losses are not those of a run that never stopped.
    """
    yield from _draw(work.all_styles)
    yield from _draw(work.plain)
    yield from _draw(work.judged)
    model = load_model(shipped / "base")
    if not isinstance(model, StableDiffusion):
        raise SetupError("playground.weights_missing", folder=shipped)
    shipped_networks: Mapping[str, nn.Module] = {
        "autoencoder": model.vae,
        "base": nn.ModuleDict({"unet": model.unet, "text_encoder": model.text_encoder}),
        "judge": load_judge(shipped / "judge.safetensors"),
        "decoder": decoder_of(model.vae),
        "captioner": read_captioner(shipped / "captioner"),
    }
    courses = (_autoencoder, _base, _judge, _decoder, _captioner)
    for stage, course in zip(STAGES, courses, strict=True):
        log = log_file(shipped, stage)
        if _checkpoint_file(work, stage).exists() or not log.exists():
            continue
        entries = read_entries(log)
        course(work).adopt(shipped_networks[stage].state_dict(), entries[-1]["step"] + 1)
        write_entries(log_file(work.folder, stage), entries)


def package(work: Work, target: Path) -> None:
    """Write the averaged weights in half precision, the logs and the model card to `target`.

    A stage that is still training is written as it is at its last checkpoint; one without a
    checkpoint in `work` stays as it is in `target`.
    """
    trained = [stage for stage in STAGES if _checkpoint_file(work, stage).exists()]
    if "base" in trained:
        _package_base(work, target)
    if "judge" in trained:
        judge = {
            name: value.half().contiguous() for name, value in _averaged(work, "judge").items()
        }
        save_file(judge, target / "judge.safetensors", metadata={"format": "pt"})
    if "captioner" in trained:
        processor = captioner_processor(world_captions())
        save_captioner(_averaged(work, "captioner"), processor, target / "captioner")
    for stage in trained:
        steps: int = _checkpoint(work, stage)["step"]
        entries = read_entries(log_file(work.folder, stage))
        done = [entry for entry in entries if entry["step"] < steps]
        write_entries(log_file(target, stage), done)
    write_card(work, target)


def _package_base(work: Work, target: Path) -> None:
    model = _model(work)
    networks = nn.ModuleDict({"unet": model.unet, "text_encoder": model.text_encoder})
    networks.load_state_dict(_averaged(work, "base"))
    if _checkpoint_file(work, "decoder").exists():
        decoder_of(model.vae).load_state_dict(_averaged(work, "decoder"))
    save_folder(model, target / "base", torch.float16)


def verify(work: Work, shipped: Path) -> Iterator[Event]:
    """Replay the first steps of each stage from its seed and compare them with the shipped logs.

    The pictures of `work` are drawn if they are missing. The base is replayed on the autoencoder
    that is shipped; the decoder's stage is not, for the decoder it began with is not kept. A loss
    that differs is a `SetupError`: exact equality can be expected on the same kind of processor;
    the number of threads is the log's.
    """
    yield from _draw(work.all_styles)
    yield from _draw(work.plain)
    yield from _draw(work.judged)
    replay = Work(work.folder / f"replay-{time.strftime('%Y%m%d-%H%M%S')}")
    courses = (
        _autoencoder(work),
        _base(work, shipped / "base" / "vae"),
        _judge(work),
        _captioner(work),
    )
    for course in courses:
        first = read_entries(log_file(shipped, course.name))[0]
        torch.set_num_threads(first.get("threads", _THREADS_UNTIL_LOGGED))
        yield from replace(course, folder=replay.folder).run(until=REPLAYED_STEPS)
        compare(
            replay.folder / f"{course.name}.log.jsonl",
            shipped / f"{course.name}.log.jsonl",
            REPLAYED_STEPS,
        )


def _retell(work: Work) -> Iterator[Event]:
    """Yield how much of held-out pictures the captioner says rightly, per style."""
    folder = work.folder / "captioner"
    save_captioner(_averaged(work, "captioner"), captioner_processor(world_captions()), folder)
    for style, shares in retold(folder, work.recounted):
        for question, share in shares.items():
            yield Measured(name=f"{style} {question}", value=share)


def _draw(pool: Pool) -> Iterator[Event]:
    yield PhaseStarted(phase=pool.folder.name, total=pool.count)
    for done in pool.draw():
        yield Advanced(phase=pool.folder.name, done=done)


def _autoencoder(work: Work) -> Course:
    pictures = work.all_styles.pixels()
    network = new_autoencoder(AUTOENCODER_SEED)
    return autoencoder_course(network, pictures, work.folder, AUTOENCODER_SEED)


def _base(work: Work, autoencoder: Path | None = None) -> Course:
    model = _model(work, autoencoder)
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
    return decoder_course(_model(work).vae, pictures, work.folder, DECODER_SEED)


def _model(work: Work, autoencoder: Path | None = None) -> StableDiffusion:
    """Return the untrained base around the trained autoencoder, rounded as it is shipped."""
    if autoencoder is None:
        vae = new_autoencoder(AUTOENCODER_SEED)
        averaged = _averaged(work, "autoencoder")
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


def _averaged(work: Work, stage: str) -> dict[str, Tensor]:
    return _checkpoint(work, stage)["average"]


def _checkpoint(work: Work, stage: str) -> dict[str, Any]:
    return torch.load(_checkpoint_file(work, stage), weights_only=True)


def _checkpoint_file(work: Work, stage: str) -> Path:
    return work.folder / f"{stage}.checkpoint.pt"


def main() -> int:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("work", type=Path, help="folder for pictures, checkpoints and logs")
    parser.add_argument("--stage", choices=STAGES, help="train this stage alone (all)")
    parser.add_argument("--threads", type=int, help="processor threads (all cores)")
    parser.add_argument(
        "--adopt", action="store_true", help="begin with the weights of the package"
    )
    parser.add_argument("--package", action="store_true", help="write the weights to the package")
    parser.add_argument("--verify", action="store_true", help="replay 100 steps against the logs")
    arguments = parser.parse_args()
    work = Work(arguments.work)
    if arguments.package:
        package(work, weights_folder())
        return 0
    if arguments.threads:
        torch.set_num_threads(arguments.threads)
    if arguments.verify:
        events = verify(work, weights_folder())
    elif arguments.adopt:
        events = adopt(work, weights_folder())
    else:
        events = build(work, [arguments.stage] if arguments.stage else STAGES)
    for event in events:
        if isinstance(event, PhaseStarted):
            sys.stdout.write(f"{event.phase}: {event.total}\n")
        elif isinstance(event, Advanced) and event.done % 500 == 0:
            sys.stdout.write(f"{time.strftime('%X')} {event.phase} {event.done}\n")
        elif isinstance(event, Measured):
            sys.stdout.write(f"{event.name}: {event.value:.2%}\n")
        sys.stdout.flush()
    return 0


if __name__ == "__main__":
    sys.exit(main())
