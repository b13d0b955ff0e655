"""The measurement of isolation, on the tiny base."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import torch
from PIL import Image

from loraloom.evaluation.report import Isolation
from loraloom.events import Event, PhaseStarted
from loraloom.jobs.demonstration.isolation import measure_isolation
from loraloom.jobs.plan import make_plan
from loraloom.jobs.recipe import Recipe
from loraloom.models.load import load_model


def test_packed_training_is_solo_training(
    tiny_base: Path, tmp_path: Path, finish: Callable[..., tuple[list[Event], Isolation]]
) -> None:
    tables = []
    for number, colour in enumerate(("red", "green")):
        folder = tmp_path / colour
        folder.mkdir()
        for shade in range(3):
            picture = Image.new("RGB", (16, 16), colour)
            picture.putpixel((shade, shade), (250, 250, 250))
            picture.save(folder / f"{shade}.png")
        tables.append({"name": colour, "train_data_dir": folder, "trigger": colour, "seed": number})
    recipe = Recipe.load(
        overrides={
            "model": str(tiny_base),
            "network_dim": 2,
            "conv_dim": 2,
            "train_batch_size": 2,
            "max_train_steps": 3,
            "learning_rate": 1e-2,
            "output_dir": tmp_path / "out",
            "adapters": tables,
        }
    )
    plans = make_plan(recipe).adapters
    models = {dtype: load_model(tiny_base, dtype=dtype) for dtype in (torch.float64, torch.float32)}
    events, result = finish(measure_isolation(models, plans))
    latents = [event for event in events if event == PhaseStarted(phase="latents", total=6)]
    assert len(latents) == 1, "all precisions learn from the same"
    assert (result.adapters, result.batch_size) == (2, 2)
    assert result.tensors > 2 * 50
    assert result.float64.difference <= 1e-9
    assert 0 < result.float64.difference < result.float32.difference < 0.1
