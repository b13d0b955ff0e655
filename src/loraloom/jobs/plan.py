"""What a training run is about to do: its pictures, its steps and its files."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import permutations
from pathlib import Path
from typing import Any, final

from loraloom.data.bucket import Bucketing, Fit, Size
from loraloom.data.caption import plain_prompt
from loraloom.data.scan import Scan
from loraloom.data.updates import Epoch, count_epoch
from loraloom.errors import ModelError, OutputError, UsageError
from loraloom.events import Event, Warned
from loraloom.formats.excerpt import excerpt
from loraloom.formats.obstacle import require_writable, unwritable
from loraloom.jobs.adapter_files import are_folders, epoch_path, final_path, step_of, step_path
from loraloom.jobs.dataset.aim import AimedBase, aimed_base, bucketing_of
from loraloom.jobs.dataset.steps import buckets_of, fits_of
from loraloom.jobs.dataset.training import scan_folders
from loraloom.jobs.forecast import NUMBER_BYTES, adapter_numbers, memory_of
from loraloom.jobs.recipe import AdapterOptions, Recipe
from loraloom.jobs.sample_prompts import parse_sample_prompt
from loraloom.jobs.seeing import caption_rules
from loraloom.models.geometry import Geometry


@final
@dataclass(frozen=True)
class AdapterPlan:
    """One adapter's part of a run."""

    options: AdapterOptions
    scan: Scan
    bucketing: Bucketing
    numbers: int | None = None
    """How many numbers are trained, None where only loading the base can tell."""

    @cached_property
    def fits(self) -> tuple[Fit, ...]:
        """How each example comes into its bucket."""
        return fits_of(self.scan.examples, self.bucketing)

    @cached_property
    def sizes(self) -> tuple[Size, ...]:
        """The size that each example is trained at."""
        return tuple(fit.bucket for fit in self.fits)

    @cached_property
    def epoch(self) -> Epoch:
        """What an epoch comes to."""
        training = self.options.training
        return count_epoch(
            self.scan.examples,
            self.sizes,
            batch_size=training.train_batch_size,
            accumulation=training.gradient_accumulation_steps,
        )

    @property
    def uses_per_epoch(self) -> int:
        """How many training pictures an epoch shows, repeats counted."""
        return self.epoch.uses

    @property
    def steps_per_epoch(self) -> int:
        """Optimizer steps per epoch; the last batch and the last gathering may be smaller."""
        return self.epoch.steps

    @property
    def largest_batch(self) -> tuple[Size, int]:
        """The size of the largest pictures, and the most rows of a forward pass."""
        size = max(self.sizes, key=lambda each: (math.prod(each), each))
        return size, min(self.options.training.train_batch_size, self.uses_per_epoch)

    @property
    def regularisation(self) -> int:
        """How many regularisation pictures there are."""
        return sum(example.regularisation for example in self.scan.examples)

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

    def saves(self, recipe: Recipe) -> int:
        """Return how many files (or folders) of the adapter the run writes."""
        by_steps = _multiples(recipe.save_every_n_steps, 1, self.steps)
        by_epochs = _multiples(recipe.save_every_n_epochs, self.steps_per_epoch, self.steps)
        return len({*by_steps, *by_epochs}) + 1

    def previews(self, recipe: Recipe) -> int:
        """Return how often the sample prompts are drawn with the adapter."""
        by_steps = _multiples(recipe.sample_every_n_steps, 1, self.steps)
        by_epochs = _multiples(recipe.sample_every_n_epochs, self.steps_per_epoch, self.steps)
        return len({*by_steps, *by_epochs}) + 1 + recipe.sample_at_first

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
        first = next(each for each in self.scan.examples if not each.regularisation)
        return {
            "name": options.name,
            "train_data_dir": str(options.data.train_data_dir),
            "images": len(self.scan.examples) - self.regularisation,
            "regularisation": self.regularisation or None,
            "uses_per_epoch": self.uses_per_epoch,
            "train_batch_size": options.training.train_batch_size,
            "buckets": buckets_of(self.scan.examples, self.fits, options.training.train_batch_size),
            "steps_per_epoch": self.steps_per_epoch,
            "steps": self.steps,
            "epochs": -(-self.steps // self.steps_per_epoch),
            "trigger": trigger,
            "first_prompt": plain_prompt(first.caption, caption_rules(first, options.data)),
            "network_module": network.network_module,
            "network_dim": network.network_dim,
            "network_alpha": network.alpha,
            "scale": network.alpha / network.network_dim,
            "numbers": self.numbers,
            "learning_rate": options.optimizer.learning_rate,
            "seed": options.training.seed,
        }


@final
@dataclass(frozen=True)
class Plan:
    """A run before anything heavy is loaded."""

    recipe: Recipe
    adapters: tuple[AdapterPlan, ...]
    base: AimedBase

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

    def fitted(self, geometry: Geometry) -> Plan:
        """Return the plan in the sizes of a base, which may not have been known before.

        Raises as `check_fit`, and UsageError for buckets that the base does not take.
        """
        base = replace(self.base, geometry=geometry)
        adapters = [
            replace(each, bucketing=bucketing_of(each.options.data, base)) for each in self.adapters
        ]
        plan = replace(self, adapters=tuple(adapters), base=base)
        plan.check_fit(geometry)
        return plan

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
            "checkpoints": self._checkpoints(),
            "samples": self._samples(),
            "memory": self._memory(),
            "run_dir": str(self.recipe.run_dir),
        }

    def _checkpoints(self) -> Mapping[str, Any]:
        """Return how many adapter files there will be, and their bytes where these are known."""
        recipe = self.recipe
        each = [(adapter.saves(recipe), adapter.numbers) for adapter in self.adapters]
        size = NUMBER_BYTES[recipe.save_precision]
        known = [count * numbers * size for count, numbers in each if numbers is not None]
        total = sum(known) if len(known) == len(each) else None
        return {"count": sum(count for count, _ in each), "bytes": total}

    def _samples(self) -> Mapping[str, Any] | None:
        """Return how many samples there will be, and the bytes that they cannot exceed by much."""
        side = self.base.resolution
        prompts = [parse_sample_prompt(line) for line in self.recipe.sample_prompts]
        pixels = sum((each.width or side) * (each.height or side) for each in prompts)
        times = sum(adapter.previews(self.recipe) for adapter in self.adapters)
        if not prompts:
            return None
        return {"count": times * len(prompts), "most_bytes": 3 * times * pixels}

    def _memory(self) -> Mapping[str, Any] | None:
        """Return a rough estimate of the bytes that a step needs; None without the base's shapes.

        Where the device decides on the type of numbers, float32 is assumed.
        """
        base = self.base
        if base.geometry is None or not base.shapes:
            return None
        memory = memory_of(
            base.shapes,
            base.geometry,
            [adapter.options.network for adapter in self.adapters],
            [adapter.largest_batch for adapter in self.adapters],
            number_bytes=NUMBER_BYTES[self.recipe.mixed_precision],
        )
        return {
            "base_bytes": memory.base,
            "adapters_bytes": memory.adapters,
            "activations_bytes": memory.activations,
            "total_bytes": memory.total,
        }


def make_plan(
    recipe: Recipe, scans: Mapping[str, Scan] | None = None, base: AimedBase | None = None
) -> Plan:
    """Return the plan for training folders, which are looked at here where no scans are given.

    So is the base; one that cannot be read is left for its own check to tell, and taken for SD 1.x.
    What would keep the run from writing, and what it would overwrite, is an `OutputError`.
    """
    base = base or _aimed(recipe)
    scans = scan_folders(recipe, base) if scans is None else scans
    adapters = [
        AdapterPlan(
            each,
            scans[each.name],
            bucketing_of(each.data, base),
            adapter_numbers(base.shapes, each.network) if base.shapes else None,
        )
        for each in recipe.adapters
    ]
    plan = Plan(recipe, tuple(adapters), base)
    plan.check_outputs()
    return plan


def _aimed(recipe: Recipe) -> AimedBase:
    try:
        return aimed_base(recipe.pretrained_model_name_or_path)
    except ModelError:
        return AimedBase()


def is_due(step: int, every: int | None, unit: int = 1) -> bool:
    """Tell whether something is due after a step that is done every so many units of steps."""
    return every is not None and step % (every * unit) == 0


def _multiples(every: int | None, unit: int, end: int) -> range:
    """Return the steps before the last at which something is due."""
    return range(every * unit, end, every * unit) if every else range(0)


def _listed(folder: Path) -> Sequence[Path]:
    """Return what lies in a folder, sorted; nothing where there is none."""
    try:
        return sorted(folder.iterdir())
    except (FileNotFoundError, NotADirectoryError):
        return ()
    except OSError as error:
        raise unwritable(folder, error) from error
