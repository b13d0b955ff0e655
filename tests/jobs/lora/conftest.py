"""Small adapters for a small Stable Diffusion, and the program run on them."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from loraloom.cli.main import main
from loraloom.formats.files import write_adapter

from ...tiny_base import random_adapter

Run = Callable[..., Any]


@pytest.fixture(autouse=True)
def english(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the machine's own language not matter."""
    monkeypatch.setenv("LORALOOM_LANG", "en")


@pytest.fixture(scope="session")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Return the files of the adapters `one` and `two`; treat them as read-only."""
    folder = tmp_path_factory.mktemp("adapters")
    paths = {name: folder / f"{name}.safetensors" for name in ("one", "two")}
    for seed, (name, path) in enumerate(paths.items()):
        write_adapter(random_adapter(name, seed).with_card(triggers=(f"{name}word",)), path)
    return paths


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Run:
    """Return a function that runs `loraloom lora …`, checks the status, and returns the JSON."""

    def call(*words: object, status: int = 0) -> Any:
        assert main(["lora", *map(str, words), "--json"]) == status
        out = capsys.readouterr().out
        return json.loads(out) if out else None

    return call


@pytest.fixture
def refused(capsys: pytest.CaptureFixture[str]) -> Run:
    """Return a function that runs `loraloom lora …` in vain and returns what is said."""

    def call(*words: object, status: int) -> str:
        assert main(["lora", *map(str, words)]) == status
        return capsys.readouterr().err

    return call
