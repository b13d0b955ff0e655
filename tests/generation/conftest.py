"""The tiny base, loaded once, and two LoRAs for it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest

from loraloom.adapters.adapter import Adapter
from loraloom.models.load import load_model
from loraloom.models.model import AbstractModel

from ..tiny_base import random_adapter


@pytest.fixture(scope="session")
def tiny(tiny_base: Path) -> AbstractModel:
    """Return the tiny base; whoever puts an adapter on it takes it off again."""
    return load_model(tiny_base)


@pytest.fixture(scope="session")
def adapters() -> Mapping[str, Adapter]:
    """Return two LoRAs that change U-Net and text encoder."""
    return {"one": random_adapter("one", 1), "two": random_adapter("two", 2)}
