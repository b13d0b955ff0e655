"""What the playground's networks are worth: figures for its model card."""

# The model classes of diffusers are only partly typed.
# pyright: reportUnknownVariableType=false, reportUnknownArgumentType=false
# pyright: reportPrivateImportUsage=false

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import NDArray
from torch import Tensor

from loraloom.jobs.building.autoencoder import to_unit
from loraloom.jobs.building.judge import truths
from loraloom.jobs.building.pool import Pool
from loraloom.playground.judge import QUESTIONS, Judge

_CHUNK = 50


def restored(autoencoder: Any, pictures: NDArray[np.uint8]) -> Float[Tensor, "n 3 h w"]:
    """Return pictures after a way through the autoencoder, in [-1, 1]."""
    chunks: list[Tensor] = []
    with torch.inference_mode():
        for start in range(0, len(pictures), _CHUNK):
            posterior: Any = autoencoder.encode(to_unit(pictures[start : start + _CHUNK]))
            chunks.append(autoencoder.decode(posterior.latent_dist.mean).sample.clamp(-1, 1))
    return torch.cat(chunks)


def peak_signal_to_noise(
    pictures: Float[Tensor, "n 3 h w"], truth: Float[Tensor, "n 3 h w"]
) -> float:
    """Return the mean PSNR over pictures in dB; the peak is the range 2 of pixels in [-1, 1]."""
    errors = (pictures - truth).square().flatten(1).mean(dim=1)
    return float((10 * torch.log10(4 / errors)).mean())


def judge_accuracy(
    judge: Judge, pixels: Float[Tensor, "n 3 h w"], pool: Pool
) -> Mapping[str, float]:
    """Return the share of right answers to each question on the pictures of a pool."""
    answers = truths(pool)
    right = dict.fromkeys(QUESTIONS, 0)
    for start in range(0, len(pixels), _CHUNK):
        with torch.inference_mode():
            logits = judge(pixels[start : start + _CHUNK])
        for question, each in logits.items():
            expected = answers[question][start : start + _CHUNK]
            right[question] += int((each.argmax(dim=1) == expected).sum())
    return {question: count / len(pixels) for question, count in right.items()}
