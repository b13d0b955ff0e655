"""A style over rising weights: how often the judge sees it, and whether the prompt still holds."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import final

import torch
from jaxtyping import Float
from torch import Tensor

from loraloom.adapters.attachment import Attachment
from loraloom.evaluation.agreement import Answers, all_right, answer_share, shares_by_question
from loraloom.evaluation.report import BaseMeasure, WeightRow
from loraloom.jobs.demonstration.drawing import draw, read
from loraloom.jobs.demonstration.questions import WEIGHTS, Question
from loraloom.models.model import AbstractModel
from loraloom.playground.judge import Judge


@final
@dataclass(frozen=True)
class Sweep:
    """One adapter's rows by weight, and the pictures of the first question at each weight."""

    rows: tuple[WeightRow, ...]
    strip: tuple[tuple[float, Float[Tensor, "3 height width"]], ...]
    at_zero: Float[Tensor, "pictures 3 height width"]


def sweep(
    model: AbstractModel,
    attachment: Attachment,
    judge: Judge,
    name: str,
    questions: Sequence[Question],
) -> Iterator[int | Sweep]:
    """Draw all questions at all weights; yield how many pictures are done, then the sweep."""
    rows: list[WeightRow] = []
    strip: list[tuple[float, Tensor]] = []
    at_zero: list[Tensor] = []
    done = 0
    for weight in WEIGHTS:
        answers: list[Answers] = []
        for number, pixels in enumerate(draw(model, attachment, questions, {name: weight})):
            if number == 0:
                strip.append((weight, pixels[0]))
            if weight == 0:
                at_zero.append(pixels)
            answers += read(judge, pixels)
            done += len(pixels)
            yield done
        shares = shares_by_question(answers, [question.asked for question in questions])
        rows.append(
            WeightRow(
                weight=weight,
                style=answer_share(answers, "style", name),
                object=shares["object"],
                colour=shares["colour"],
                background=shares["background"],
            )
        )
    yield Sweep(tuple(rows), tuple(strip), torch.cat(at_zero))


def measure_base(
    model: AbstractModel, attachment: Attachment, judge: Judge, questions: Sequence[Question]
) -> Iterator[int | BaseMeasure]:
    """Draw questions with the bare base; yield how many pictures are done, then the shares."""
    answers: list[Answers] = []
    for pixels in draw(model, attachment, questions, {}):
        answers += read(judge, pixels)
        yield len(answers)
    asked = [question.asked for question in questions]
    shares = shares_by_question(answers, asked)
    yield BaseMeasure(
        object=shares["object"],
        colour=shares["colour"],
        background=shares["background"],
        all=all_right(answers, asked),
    )
