"""What a training run is about to do: its pictures, its steps and its files."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import permutations
from pathlib import Path
from typing import Any, final

from loraloom.data.caption import with_trigger
from loraloom.data.scan import Scan
from loraloom.errors import OutputError, UsageError
from loraloom.events import Event, Warned
from loraloom.formats.excerpt import excerpt
from loraloom.formats.obstacle import require_writable, unwritable
from loraloom.jobs.adapter_files import are_folders, epoch_path, final_path, step_of, step_path
from loraloom.jobs.dataset.training import scan_folders
from loraloom.jobs.recipe import AdapterOptions, Recipe
from loraloom.jobs.sample_prompts import parse_sample_prompt
from loraloom.models.geometry import Geometry


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

    def path_after(self, recipe: Recipe, step: int) -> Path | None:
        """Return the file that is written after a step, None if none is due.

        At an adapter's last step it is the finished adapter's; otherwise a file by steps goes
        before one by epochs.
        """
        name, epoch = self.options.name, self.steps_per_epoch
        if step >= self.steps:
            return final_path(recipe, name)
        if is_due(step, recipe.save_every_n_steps):
            return step_path(recipe, name, step)
        if is_due(step, recipe.save_every_n_epochs, epoch):
            return epoch_path(recipe, name, step // epoch)
        return None

    def will_write(self, recipe: Recipe, path: Path) -> bool:
        """Tell whether a path is one of the files that training this adapter writes."""
        name = self.options.name
        if path == final_path(recipe, name):
            return True
        step = step_of(recipe, name, path, self.steps_per_epoch)
        return bool(step) and path == self.path_after(recipe, min(step, self.steps))

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

    def check_outputs(self) -> None:
        """Raise OutputError for what the run would write and cannot, or what would be lost.

        Files of an earlier run may be there if they are to be overwritten; a folder in the place
        of a file may not. Two adapters that would write one file are a `UsageError`.
        """
        recipe, folders = self.recipe, are_folders(self.recipe)
        for one, other in permutations(self.adapters, 2):
            if one.will_write(recipe, final_path(recipe, other.options.name)):
                names = {"name": one.options.name, "other": other.options.name}
                raise UsageError("recipe.name_taken", **names)
        present = [
            path
            for path in _listed(recipe.output_dir)
            if path == recipe.run_dir or any(a.will_write(recipe, path) for a in self.adapters)
        ]
        if present and not recipe.overwrite:
            raise OutputError("train.output_exists", paths=excerpt(present), count=len(present))
        for path in dict.fromkeys((recipe.run_dir, *self.files, *present)):
            require_writable(path, folder=folders or path == recipe.run_dir)

    def check_fit(self, geometry: Geometry) -> None:
        """Raise UsageError for a size, a layer or a number of steps that the base does not have."""
        side = geometry.resolution
        for options in (adapter.options for adapter in self.adapters):
            geometry.latent_shape(*(options.data.resolution or (side, side)))
            geometry.check_clip_skip(options.training.clip_skip)
        for prompt in map(parse_sample_prompt, self.recipe.sample_prompts):
            geometry.latent_shape(prompt.width or side, prompt.height or side)
            geometry.check_steps(prompt.steps)

    def findings(self) -> Iterator[Event]:
        """Yield what was noticed in the training folders and asks to be looked at."""
        for adapter in self.adapters:
            for finding in adapter.scan.findings:
                if finding.severity == "warning":
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


def make_plan(recipe: Recipe, scans: Mapping[str, Scan] | None = None) -> Plan:
    """Return the plan for training folders, which are looked at here where no scans are given.

    What would keep the run from writing, and what it would overwrite, is an `OutputError`.
    """
    scans = scan_folders(recipe) if scans is None else scans
    plan = Plan(recipe, tuple(AdapterPlan(each, scans[each.name]) for each in recipe.adapters))
    plan.check_outputs()
    return plan


def is_due(step: int, every: int | None, unit: int = 1) -> bool:
    """Tell whether something is due after a step that is done every so many units of steps."""
    return every is not None and step % (every * unit) == 0


def _listed(folder: Path) -> Sequence[Path]:
    """Return what lies in a folder, sorted; nothing where there is none."""
    try:
        return sorted(folder.iterdir())
    except (FileNotFoundError, NotADirectoryError):
        return ()
    except OSError as error:
        raise unwritable(folder, error) from error
