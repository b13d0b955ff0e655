"""A style over rising weights: how often the judge sees it, and whether the prompt still holds."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from dataclasses import dataclass
from typing import final

import torch
from jaxtyping import Float
from torch import Tensor

from loraloom.adapters.attachment import Attachment
from loraloom.evaluation.agreement import Answers, all_right, answer_share, shares_by_question
from loraloom.evaluation.report import BaseMeasure, WeightRow
from loraloom.events import Advanced, Event, Measured, PhaseStarted
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
) -> Generator[Event, None, Sweep]:
    """Draw all questions at all weights, let the judge read them, and return what it saw."""
    phase = f"measure {name}"
    yield PhaseStarted(phase=phase, total=len(questions) * len(WEIGHTS))
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
            yield Advanced(phase=phase, done=(done := done + len(pixels)))
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
    yield Measured(name=f"{name} at weight {WEIGHTS[-1]:g}", value=rows[-1].style.value)
    return Sweep(tuple(rows), tuple(strip), torch.cat(at_zero))


def measure_base(
    model: AbstractModel, attachment: Attachment, judge: Judge, questions: Sequence[Question]
) -> Generator[Event, None, BaseMeasure]:
    """Draw questions with the bare base, let the judge read them, and return what it saw."""
    phase = "measure base"
    yield PhaseStarted(phase=phase, total=len(questions))
    answers: list[Answers] = []
    for pixels in draw(model, attachment, questions, {}):
        answers += read(judge, pixels)
        yield Advanced(phase=phase, done=len(answers))
    asked = [question.asked for question in questions]
    shares = shares_by_question(answers, asked)
    found = BaseMeasure(
        object=shares["object"],
        colour=shares["colour"],
        background=shares["background"],
        all=all_right(answers, asked),
    )
    yield Measured(name="base, all right", value=found.all.value)
    return found
