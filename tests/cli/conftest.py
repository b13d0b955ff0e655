"""A job in place of training: it takes the recipe, and plays the events it is given."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType

import pytest

from loraloom.events import Event, Finished, Planned, Saved, Stepped
from loraloom.jobs.recipe import Recipe

FILE = Path("output/cat.safetensors")


def step(number: int, total: int = 3) -> Stepped:
    """Return a step of one adapter."""
    return Stepped(
        step=number,
        total=total,
        epoch=1,
        losses={"cat": 0.25},
        learning_rates={"cat": 1e-4},
        gradient_norms={"cat": 1.0},
    )


def short_run() -> Iterator[Event]:
    """Yield the events of a run of three steps."""
    yield Planned(job="train", plan={"model": "playground", "steps": 3})
    yield from (step(number) for number in (1, 2, 3))
    yield Saved(path=FILE, what="adapter", step=3)
    yield Finished(job="train", seconds=61.0, outputs=(FILE,))


@dataclass
class FakeTraining:
    """What the command line handed to the job; `events` makes what it answers."""

    recipes: list[Recipe] = field(default_factory=list[Recipe])
    events: Callable[[Callable[[], bool]], Iterator[Event]] = lambda stop: short_run()

    def train(self, recipe: Recipe, stop: Callable[[], bool]) -> Iterator[Event]:
        self.recipes.append(recipe)
        return self.events(stop)

    @property
    def recipe(self) -> Recipe:
        (recipe,) = self.recipes
        return recipe


@pytest.fixture
def training(monkeypatch: pytest.MonkeyPatch) -> FakeTraining:
    """Put a fake in the place of the training job, which would import and load much."""
    fake = FakeTraining()
    module = ModuleType("loraloom.jobs.train")
    module.train = fake.train  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "loraloom.jobs.train", module)
    return fake


@pytest.fixture(autouse=True)
def english(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the machine's own language not matter."""
    for name in ("LORALOOM_LANG", "LC_ALL", "LC_MESSAGES"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("LANG", "C.UTF-8")
