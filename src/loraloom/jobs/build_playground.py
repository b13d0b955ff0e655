"""The program that makes the playground's weights, from nothing but this package and seeds.

    python -m loraloom.jobs.build_playground WORK            go on where the last run stopped
    python -m loraloom.jobs.build_playground WORK --adopt    go on from the weights in the package
    python -m loraloom.jobs.build_playground WORK --package  write what is trained into the package
    python -m loraloom.jobs.build_playground WORK --verify   replay 100 steps against the logs

WORK is a folder for pictures, checkpoints and logs; it needs about 3 GB. `--stage NAME` trains one
stage alone: base and decoder need only the autoencoder, so two processes may do them side by side.
The captioner needs none of the others, and is measured when it is done.
"""

# The functions of safetensors are only partly typed.
# pyright: reportUnknownVariableType=false

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import nn

from loraloom.errors import SetupError
from loraloom.events import Advanced, Event, Measured, PhaseStarted
from loraloom.jobs.building.autoencoder import decoder_of
from loraloom.jobs.building.card import write_card
from loraloom.jobs.building.logs import log_file, read_entries, write_entries
from loraloom.jobs.building.pool import Pool
from loraloom.jobs.building.replay import compare
from loraloom.jobs.building.retelling import read_captioner, retold, save_captioner
from loraloom.jobs.building.stages import STAGES, base_on, untrained_base
from loraloom.jobs.building.wordpieces import captioner_processor, world_captions
from loraloom.jobs.building.work import Work
from loraloom.models.load import load_model
from loraloom.models.sd1.save import save_folder
from loraloom.models.sd1.stable_diffusion import StableDiffusion
from loraloom.playground.judge import load_judge
from loraloom.playground.packaged import weights_folder

REPLAYED_STEPS = 100
_THREADS_UNTIL_LOGGED = 2
"""Processor threads of the stages whose logs do not name them yet."""


def build(work: Work, stages: Iterable[str] = tuple(STAGES)) -> Iterator[Event]:
    """Train what is not trained yet of these stages, in their order; yield progress."""
    pools = {
        "base": (work.plain,),
        "judge": (work.judged,),
        "captioner": (work.judged, work.all_styles, work.recounted),
    }
    for stage in stages:
        for pool in pools.get(stage, (work.all_styles,)):
            yield from _draw(pool)
        yield from STAGES[stage](work).run()
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
    for stage, course in STAGES.items():
        log = log_file(shipped, stage)
        if work.checkpoint_file(stage).exists() or not log.exists():
            continue
        entries = read_entries(log)
        course(work).adopt(shipped_networks[stage].state_dict(), entries[-1]["step"] + 1)
        write_entries(log_file(work.folder, stage), entries)


def package(work: Work, target: Path) -> None:
    """Write the averaged weights in half precision, the logs and the model card to `target`.

    A stage that is still training is written as it is at its last checkpoint; one without a
    checkpoint in `work` stays as it is in `target`.
    """
    trained = [stage for stage in STAGES if work.checkpoint_file(stage).exists()]
    if "base" in trained:
        _package_base(work, target)
    if "judge" in trained:
        judge = {name: value.half().contiguous() for name, value in work.averaged("judge").items()}
        save_file(judge, target / "judge.safetensors", metadata={"format": "pt"})
    if "captioner" in trained:
        processor = captioner_processor(world_captions())
        save_captioner(work.averaged("captioner"), processor, target / "captioner")
    for stage in trained:
        steps: int = work.checkpoint(stage)["step"]
        entries = read_entries(log_file(work.folder, stage))
        done = [entry for entry in entries if entry["step"] < steps]
        write_entries(log_file(target, stage), done)
    write_card(work, target)


def _package_base(work: Work, target: Path) -> None:
    model = untrained_base(work)
    networks = nn.ModuleDict({"unet": model.unet, "text_encoder": model.text_encoder})
    networks.load_state_dict(work.averaged("base"))
    if work.checkpoint_file("decoder").exists():
        decoder_of(model.vae).load_state_dict(work.averaged("decoder"))
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
    for stage, begin in STAGES.items():
        if stage == "decoder":
            continue
        vae = shipped / "base" / "vae"
        course = base_on(work, vae) if stage == "base" else begin(work)
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
    save_captioner(work.averaged("captioner"), captioner_processor(world_captions()), folder)
    for style, shares in retold(folder, work.recounted):
        for question, share in shares.items():
            yield Measured(name=f"{style} {question}", value=share)


def _draw(pool: Pool) -> Iterator[Event]:
    yield PhaseStarted(phase=pool.folder.name, total=pool.count)
    for done in pool.draw():
        yield Advanced(phase=pool.folder.name, done=done)


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
