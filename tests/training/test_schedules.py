"""Schedules equal those that diffusers' scripts use."""

from __future__ import annotations

import pytest
import torch
from diffusers.optimization import get_scheduler

from loraloom.training.schedules import SCHEDULES


@pytest.mark.parametrize("name", SCHEDULES)
@pytest.mark.parametrize("warmup", [0, 4])
def test_factors_equal_diffusers(name: str, warmup: int) -> None:
    total = 20
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
    reference = get_scheduler(name, optimizer, num_warmup_steps=warmup, num_training_steps=total)
    for step in range(total):
        ours = SCHEDULES[name](step, total, warmup)
        assert ours == pytest.approx(reference.get_last_lr()[0], abs=1e-12), step
        optimizer.step()
        reference.step()
