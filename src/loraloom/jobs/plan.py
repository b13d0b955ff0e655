"""What a training run is about to do: its pictures, its steps and its files."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, final

from loraloom.data.caption import with_trigger
from loraloom.data.scan import Scan, scan
from loraloom.errors import OutputError
from loraloom.events import Event, Warned
from loraloom.jobs.recipe import AdapterOptions, Recipe


@final
@dataclass(frozen=True)
class AdapterPlan:
    """One adapter's part of a run."""

    options: AdapterOptions
    scan: Scan

    @property
    def uses_per_epoch(self) -> int:
        """How many pictures an epoch shows, repeats counted."""
        return sum(example.repeats for example in self.scan.examples)

    @property
    def steps_per_epoch(self) -> int:
        """Optimizer steps per epoch; the last batch and the last gathering may be smaller."""
        batches = math.ceil(self.uses_per_epoch / self.options.training.train_batch_size)
        return math.ceil(batches / self.options.training.gradient_accumulation_steps)

    @property
    def steps(self) -> int:
        """Optimizer steps in all: by epochs where they are given, as in kohya's trainer."""
        training = self.options.training
        if training.max_train_epochs is not None:
            return training.max_train_epochs * self.steps_per_epoch
        return training.max_train_steps

    def summary(self) -> Mapping[str, Any]:
        """Return the plan as plain data."""
        options = self.options
        trigger = options.data.trigger or ""
        network = options.network
        return {
            "name": options.name,
            "train_data_dir": str(options.data.train_data_dir),
            "images": len(self.scan.examples),
            "uses_per_epoch": self.uses_per_epoch,
            "train_batch_size": options.training.train_batch_size,
            "steps_per_epoch": self.steps_per_epoch,
            "steps": self.steps,
            "epochs": math.ceil(self.steps / self.steps_per_epoch),
            "trigger": trigger,
            "first_prompt": with_trigger(self.scan.examples[0].caption, trigger),
            "network_module": network.network_module,
            "network_dim": network.network_dim,
            "network_alpha": network.alpha,
            "scale": network.alpha / network.network_dim,
            "learning_rate": options.optimizer.learning_rate,
            "seed": options.training.seed,
        }


@final
@dataclass(frozen=True)
class Plan:
    """A run before anything heavy is loaded."""

    recipe: Recipe
    adapters: tuple[AdapterPlan, ...]

    @property
    def steps(self) -> int:
        """Steps of the longest adapter."""
        return max(adapter.steps for adapter in self.adapters)

    @property
    def files(self) -> tuple[Path, ...]:
        """The adapter files that will be there at the end."""
        return tuple(final_path(self.recipe, plan.options.name) for plan in self.adapters)

    def findings(self) -> Iterator[Event]:
        """Yield what was noticed in the training folders."""
        for adapter in self.adapters:
            for finding in adapter.scan.findings:
                yield Warned(code=finding.code, details=finding.details)

    def summary(self) -> Mapping[str, Any]:
        """Return the plan as plain data."""
        return {
            "model": self.recipe.pretrained_model_name_or_path,
            "steps": self.steps,
            "adapters": [adapter.summary() for adapter in self.adapters],
            "files": [str(path) for path in self.files],
            "run_dir": str(self.recipe.run_dir),
        }


def make_plan(recipe: Recipe) -> Plan:
    """Read the training folders and check that no earlier output would be lost."""
    plans = tuple(
        AdapterPlan(
            options,
            scan(
                options.data.train_data_dir,
                trigger=options.data.trigger or "",
                caption_extension=options.data.caption_extension,
                repeats=options.data.num_repeats,
            ),
        )
        for options in recipe.adapters
    )
    plan = Plan(recipe, plans)
    taken = [path for path in (*plan.files, recipe.run_dir) if path.exists()]
    if taken and not recipe.overwrite:
        raise OutputError("train.output_exists", path=taken[0], count=len(taken))
    return plan


def final_path(recipe: Recipe, name: str) -> Path:
    """Return where a finished adapter is written: a file, or a folder in PEFT's format."""
    suffix = "" if recipe.save_format == "peft" else ".safetensors"
    return recipe.output_dir / f"{name}{suffix}"


def step_path(recipe: Recipe, name: str, step: int) -> Path:
    """Return where an adapter is written on its way, as kohya's trainer names it."""
    return final_path(recipe, f"{name}-step{step:08d}")


def epoch_path(recipe: Recipe, name: str, epoch: int) -> Path:
    """Return where an adapter is written after an epoch, as kohya's trainer names it."""
    return final_path(recipe, f"{name}-{epoch:06d}")
