"""Adapter files for the tiny base, and options of jobs that draw with them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from loraloom.formats.files import write_adapter
from loraloom.jobs.drawing_options import DrawingOptions

from ..tiny_base import random_adapter


@pytest.fixture(scope="session")
def lora_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with the adapters `one` and `two`; treat it as read-only."""
    folder = tmp_path_factory.mktemp("loras")
    for number, name in enumerate(("one", "two"), start=1):
        write_adapter(random_adapter(name, number), folder / f"{name}.safetensors")
    return folder


@pytest.fixture
def drawing(tiny_base: Path, lora_folder: Path, tmp_path: Path) -> Callable[..., DrawingOptions]:
    """Return a function that makes options for short runs on the tiny base."""

    def make(**changes: Any) -> DrawingOptions:
        return DrawingOptions(
            **{
                "model": str(tiny_base),
                "lora_dir": (lora_folder,),
                "output_dir": tmp_path / "outputs",
                "steps": 2,
                "seed": 42,
                "device": "cpu",
                **changes,
            }
        )

    return make
