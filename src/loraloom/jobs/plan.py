"""What a training run is about to do: its pictures, its steps and its files."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import permutations
from pathlib import Path
from typing import Any, final

from loraloom.data.scan import Scan
from loraloom.errors import ModelError, OutputError, UsageError
from loraloom.events import Event, Warned
from loraloom.formats.excerpt import excerpt
from loraloom.formats.obstacle import require_writable, unwritable
from loraloom.jobs.adapter_files import are_folders, final_path
from loraloom.jobs.adapter_plan import AdapterPlan
from loraloom.jobs.cache_options import cache_folder
from loraloom.jobs.dataset.aim import AimedBase, aimed_base, bucketing_of
from loraloom.jobs.dataset.training import scan_folders
from loraloom.jobs.forecast import NUMBER_BYTES, adapter_numbers, memory_of
from loraloom.jobs.recipe import Recipe
from loraloom.jobs.sample_prompts import parse_sample_prompt
from loraloom.models.geometry import Geometry


@final
@dataclass(frozen=True)
class Plan:
    """A run before anything heavy is loaded."""

    recipe: Recipe
    adapters: tuple[AdapterPlan, ...]
    base: AimedBase
    precision: str | None = None
    """The type of number that the base computes in, None where the device decides on it and is not
    known."""

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
        outputs = [each.outputs(recipe) for each in self.adapters]
        for one, other in permutations(outputs, 2):
            if one.will_write(final_path(recipe, other.name)):
                names = {"name": one.name, "other": other.name}
                raise UsageError("recipe.name_taken", **names)
        present = [
            path
            for path in _listed(recipe.output_dir)
            if path == recipe.run_dir or any(each.will_write(path) for each in outputs)
        ]
        if present and not recipe.overwrite:
            raise OutputError("train.output_exists", paths=excerpt(present), count=len(present))
        if recipe.cache_latents_to_disk:
            require_writable(cache_folder(recipe.cache_dir), folder=True)
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
        """Yield what was noticed in the training folders; notes only where nothing else is done."""
        is_told = self.recipe.dry_run or self.recipe.measure
        for each in (each for adapter in self.adapters for each in adapter.scan.findings):
            if is_told or each.severity == "warning":
                yield Warned(code=each.code, details=each.details, severity=each.severity)

    def summary(self) -> Mapping[str, Any]:
        """Return the plan as plain data."""
        return {
            "model": self.recipe.pretrained_model_name_or_path,
            "steps": self.steps,
            "adapters": [adapter.summary() for adapter in self.adapters],
            "files": [str(path) for path in self.files],
            "checkpoints": self._checkpoints(),
            "samples": self._samples(),
            "precision": self.precision,
            "memory": self._memory(),
            "run_dir": str(self.recipe.run_dir),
        }

    def _checkpoints(self) -> Mapping[str, Any]:
        """Return how many adapter files there will be, and their bytes where these are known."""
        recipe = self.recipe
        each = [(adapter.outputs(recipe).files, adapter.numbers) for adapter in self.adapters]
        size = NUMBER_BYTES[recipe.save_precision]
        known = [count * numbers * size for count, numbers in each if numbers is not None]
        total = sum(known) if len(known) == len(each) else None
        return {"count": sum(count for count, _ in each), "bytes": total}

    def _samples(self) -> Mapping[str, Any] | None:
        """Return how many samples there will be, and the bytes that they cannot exceed by much."""
        side = self.base.resolution
        prompts = [parse_sample_prompt(line) for line in self.recipe.sample_prompts]
        pixels = sum((each.width or side) * (each.height or side) for each in prompts)
        times = sum(adapter.outputs(self.recipe).drawings for adapter in self.adapters)
        if not prompts:
            return None
        return {"count": times * len(prompts), "most_bytes": 3 * times * pixels}

    def _memory(self) -> Mapping[str, Any] | None:
        """Return a rough estimate of the bytes that a step needs; None without the base's shapes.

        Where the precision is not known, float32 is assumed.
        """
        base = self.base
        if base.geometry is None or not base.shapes:
            return None
        memory = memory_of(
            base.shapes,
            base.geometry,
            [adapter.options.network for adapter in self.adapters],
            [adapter.largest_batch for adapter in self.adapters],
            number_bytes=NUMBER_BYTES[self.precision or self.recipe.mixed_precision],
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


def _listed(folder: Path) -> Sequence[Path]:
    """Return what lies in a folder, sorted; nothing where there is none."""
    try:
        return sorted(folder.iterdir())
    except (FileNotFoundError, NotADirectoryError):
        return ()
    except OSError as error:
        raise unwritable(folder, error) from error
