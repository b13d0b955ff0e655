"""What every test stands on: no network, one thread, one seeded generator."""

from __future__ import annotations

import os

import pytest
import torch
from hypothesis import settings

from .tiny_base import tiny_base as tiny_base

# The same examples on every machine, and no deadline: a first call may import for seconds.
settings.register_profile("loraloom", derandomize=True, deadline=None)


def pytest_configure() -> None:
    """Set the process up before any test module, and with it huggingface_hub, is imported."""
    os.environ["HF_HUB_OFFLINE"] = "1"
    torch.set_num_threads(1)
    settings.load_profile("loraloom")


@pytest.fixture
def generator() -> torch.Generator:
    """Return a CPU generator with seed 0."""
    return torch.Generator().manual_seed(0)
