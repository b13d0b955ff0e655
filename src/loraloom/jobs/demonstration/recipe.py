"""The recipe of the demonstration: three adapters in one run."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from loraloom.jobs.demonstration.datasets import StyleFolder
from loraloom.jobs.demonstration.isolation import STEPS as ISOLATION_STEPS
from loraloom.jobs.recipe import Recipe

_SETTINGS: Final[dict[str, Any]] = {
    "network_dim": 16,
    "network_alpha": 16,
    "conv_dim": 16,
    "conv_alpha": 16,
    "learning_rate": 2e-3,
    "lr_scheduler": "cosine",
    "lr_warmup_steps": 10,
    "train_batch_size": 8,
    "max_train_steps": 150,
    "min_snr_gamma": 5,
    "caption_dropout_rate": 0.1,
}


def demo_recipe(folders: Sequence[StyleFolder], output: Path, seed: int, device: str) -> Recipe:
    """Return what trains one adapter per folder, all at once."""
    run = {
        **_SETTINGS,
        "pretrained_model_name_or_path": "playground",
        "output_dir": output,
        "output_name": "styles",
        "save_precision": "fp16",
        "device": device,
        "overwrite": True,
    }
    return Recipe.load(overrides={**run, "adapters": _tables(folders, seed)})


def isolation_recipe(folders: Sequence[StyleFolder], output: Path, seed: int) -> Recipe:
    """Return a short run of the same adapters, for comparing it with each alone.

    Its pictures have a quarter of the size: rounding is what it is about, not what is learned.
    """
    run = {
        **_SETTINGS,
        "pretrained_model_name_or_path": "playground",
        "output_dir": output,
        "output_name": "isolation",
        "train_batch_size": 2,
        "resolution": 64,
        "max_train_steps": ISOLATION_STEPS,
        "device": "cpu",
        "overwrite": True,
    }
    return Recipe.load(overrides={**run, "adapters": _tables(folders, seed)})


def _tables(folders: Sequence[StyleFolder], seed: int) -> list[dict[str, Any]]:
    return [
        {
            "name": folder.style,
            "train_data_dir": folder.parent,
            "trigger": folder.trigger,
            "seed": seed + number,
        }
        for number, folder in enumerate(folders)
    ]
