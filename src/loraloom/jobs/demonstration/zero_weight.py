"""Whether pictures at weight 0 are the base's, bit for bit."""

from __future__ import annotations

from collections.abc import Generator, Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from loraloom.adapters.attachment import attach
from loraloom.evaluation.report import ZeroWeight
from loraloom.events import Advanced, Event, PhaseStarted
from loraloom.jobs.demonstration.drawing import draw
from loraloom.jobs.demonstration.questions import Question
from loraloom.models.model import AbstractModel


def compare_at_zero(
    base: AbstractModel,
    asked: Sequence[Sequence[Question]],
    at_zero: Sequence[Float[Tensor, "pictures 3 height width"]],
) -> Generator[Event, None, ZeroWeight]:
    """Draw what was drawn at weight 0 again with a base that never wore an adapter.

    `base` must have been loaded apart: a base that has worn the adapters would carry along
    whatever they left behind, and equal pictures of it would prove nothing.
    """
    total = sum(len(questions) for questions in asked)
    yield PhaseStarted(phase="zero_weight", total=total)
    identical, done = True, 0
    for questions, expected in zip(asked, at_zero, strict=True):
        with attach(base.networks, {}) as nothing:
            drawn = torch.cat(list(draw(base, nothing, questions, {})))
        identical = identical and torch.equal(drawn, expected)
        yield Advanced(phase="zero_weight", done=(done := done + len(questions)))
    return ZeroWeight(identical=identical, pictures=total)
