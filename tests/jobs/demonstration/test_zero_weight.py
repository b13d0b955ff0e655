"""The comparison of weight 0 with the bare base, on the tiny base."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from loraloom.adapters.attachment import attach
from loraloom.evaluation.report import ZeroWeight
from loraloom.events import Event
from loraloom.jobs.demonstration import drawing
from loraloom.jobs.demonstration.drawing import draw
from loraloom.jobs.demonstration.questions import SETTINGS, Question
from loraloom.jobs.demonstration.zero_weight import compare_at_zero
from loraloom.models.load import load_model

from ...tiny_base import random_adapter

QUESTIONS = [Question("a red house", 1, {}), Question("a black cat", 2, {})]


@pytest.mark.parametrize(("weight", "identical"), [(0.0, True), (0.01, False)])
def test_only_weight_zero_is_the_base(
    tiny_base: Path,
    monkeypatch: pytest.MonkeyPatch,
    finish: Callable[..., tuple[list[Event], ZeroWeight]],
    weight: float,
    identical: bool,
) -> None:
    small = replace(SETTINGS, width=16, height=16, steps=2)
    monkeypatch.setattr(drawing, "SETTINGS", small)
    model = load_model(tiny_base)
    with attach(model.networks, {"one": random_adapter("one", 1)}, 0.0) as attachment:
        drawn = torch.cat(list(draw(model, attachment, QUESTIONS, {"one": weight})))
    _, found = finish(compare_at_zero(load_model(tiny_base), [QUESTIONS], [drawn]))
    assert found == ZeroWeight(identical=identical, pictures=2)
