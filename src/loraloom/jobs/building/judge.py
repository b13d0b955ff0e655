"""The training of the playground's judge, on rendered pictures only."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from numpy.typing import NDArray
from torch import Tensor

from loraloom.jobs.building.autoencoder import to_unit
from loraloom.jobs.building.course import Course
from loraloom.jobs.building.curve import Curve
from loraloom.jobs.building.pool import Pool
from loraloom.playground.judge import QUESTIONS, Judge
from loraloom.playground.scenes import position_word, size_word

_STEPS = 3000
_BATCH = 48
_SMOOTHING = 0.05


def truths(pool: Pool) -> Mapping[str, Int[Tensor, " pictures"]]:
    """Return the right answer to each question, as an index, for a pool of single things."""
    rows: list[list[int]] = []
    for number in range(pool.count):
        scene, style, _ = pool.scene(number)
        thing = scene.things[0]
        truth = {
            "object": thing.kind,
            "colour": thing.colour,
            "background": scene.background,
            "position": position_word(thing),
            "size": size_word(thing),
            "style": style,
        }
        rows.append([known.index(truth[question]) for question, known in QUESTIONS.items()])
    columns = torch.tensor(rows).unbind(dim=1)
    return dict(zip(QUESTIONS, columns, strict=True))


def judge_course(
    judge: Judge,
    pictures: NDArray[np.uint8],
    answers: Mapping[str, Int[Tensor, " pictures"]],
    folder: Path,
    seed: int,
) -> Course:
    """Train on pictures that are blurred, noised and recoloured a little at random."""
    return Course(
        name="judge",
        network=judge,
        loss=_loss(judge, pictures, answers),
        steps=_STEPS,
        learning_rate=Curve(peak=2e-3, floor=2e-5, warmup=100, steps=_STEPS),
        folder=folder,
        seed=seed,
        averaging=0.998,
    )


def _loss(
    judge: Judge, pictures: NDArray[np.uint8], answers: Mapping[str, Int[Tensor, " pictures"]]
) -> Callable[[int, torch.Generator], Tensor]:
    def loss(step: int, generator: torch.Generator) -> Tensor:
        numbers = torch.randint(len(pictures), (_BATCH,), generator=generator)
        pixels = _disturb(to_unit(pictures[numbers.numpy()]), generator)
        logits = judge(pixels)
        losses = [
            F.cross_entropy(each, answers[question][numbers], label_smoothing=_SMOOTHING)
            for question, each in logits.items()
        ]
        return torch.stack(losses).sum()

    return loss


def _disturb(
    pixels: Float[Tensor, "batch 3 128 128"], generator: torch.Generator
) -> Float[Tensor, "batch 3 128 128"]:
    """Soften some pictures and change contrast, tint and noise, as a decoder's faults might."""
    batch = len(pixels)

    def draw(*shape: int) -> Tensor:
        return torch.rand(batch, *shape, generator=generator)

    soft = F.avg_pool2d(F.pad(pixels, (1, 1, 1, 1), mode="replicate"), 3, stride=1)
    pixels = torch.lerp(pixels, soft, draw(1, 1, 1))
    contrast = 0.9 + 0.2 * draw(1, 1, 1)
    tint = 0.1 * (draw(3, 1, 1) - 0.5)
    noise = torch.randn(pixels.shape, generator=generator) * 0.06 * draw(1, 1, 1)
    return (pixels * contrast + tint + noise).clamp(-1, 1)
