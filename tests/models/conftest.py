"""The tiny base, loaded once."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from loraloom.models.sd1.load import load_folder
from loraloom.models.sd1.stable_diffusion import StableDiffusion


@pytest.fixture(scope="session")
def tiny(tiny_base: Path) -> StableDiffusion:
    """Return the tiny base; treat it as read-only."""
    return load_folder(tiny_base, "tiny", torch.device("cpu"), torch.float32)
