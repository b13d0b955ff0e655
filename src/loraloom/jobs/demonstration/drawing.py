"""Drawing the answers to questions, in batches, and letting the judge read them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from loraloom.adapters.attachment import Attachment
from loraloom.evaluation.agreement import Answers
from loraloom.generation.request import ImageRequest
from loraloom.generation.sampling import sample
from loraloom.jobs.demonstration.questions import SETTINGS, Question
from loraloom.models.model import AbstractModel
from loraloom.playground.judge import Judge

_BATCH = 16


def draw(
    model: AbstractModel,
    attachment: Attachment,
    questions: Sequence[Question],
    strengths: Mapping[str, float],
) -> Iterator[Float[Tensor, "batch 3 height width"]]:
    """Yield the pictures of all questions in batches, each adapter at one strength everywhere."""
    worn: dict[str, Mapping[str, float]] = {
        name: dict.fromkeys(model.networks, strength) for name, strength in strengths.items()
    }
    for start in range(0, len(questions), _BATCH):
        requests = [
            ImageRequest(prompt=question.prompt, seed=question.seed, strengths=worn)
            for question in questions[start : start + _BATCH]
        ]
        pixels = sample(model, attachment, requests, SETTINGS)
        assert pixels is not None  # Nothing asks it to stop.
        yield pixels.float().cpu()


def read(judge: Judge, pixels: Float[Tensor, "batch 3 height width"]) -> list[Answers]:
    """Return the judge's answers for each picture."""
    # What is read is what a file holds: eight bits per channel.
    stored = ((pixels / 2 + 0.5).clamp(0, 1) * 255).round() / 127.5 - 1
    with torch.inference_mode():
        return [reading.answers for reading in judge.read(stored)]
