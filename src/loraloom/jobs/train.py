"""The training job: from a recipe to adapter files."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Iterator
from dataclasses import replace
from typing import TYPE_CHECKING

from loraloom.errors import ModelError, UsageError
from loraloom.events import Event, Finished, Planned
from loraloom.jobs.dataset.aim import AimedBase, aimed_base
from loraloom.jobs.dataset.training import check_folders
from loraloom.jobs.memory import guarded
from loraloom.jobs.plan import Plan, make_plan
from loraloom.jobs.recipe import Recipe

if TYPE_CHECKING:
    import torch


def train(recipe: Recipe, stop: Callable[[], bool] = lambda: False) -> Iterator[Event]:
    """Train all adapters of a recipe together; yield what happens.

    Everything that can be known to be wrong without loading the model is found before anything
    is loaded or written; a dry run ends there, one that measures after two steps. `stop` is asked
    after each step: then all adapters are saved as they are, and the last event says that the run
    was interrupted.

    An adapter whose loss is no longer finite leaves the run alone. The others are trained to their
    ends and saved; then `Diverged` is raised in place of the last event.
    """
    started = time.monotonic()
    plan = yield from check(recipe, stop)
    if plan is None:
        yield Finished(job="train", seconds=time.monotonic() - started, interrupted=True)
        return
    # Only now, for torch takes seconds to import, and the model libraries more.
    from loraloom.jobs.device import choose_device, precision_of

    device = choose_device(recipe.device)
    plan = replace(plan, precision=precision_of(recipe.mixed_precision, device))
    if not recipe.measure:
        yield Planned(job="train", plan=plan.summary())
        yield from plan.findings()
    if recipe.measure:
        yield from guarded(_measured(plan, device), "memory.train")
    if recipe.dry_run or recipe.measure:
        yield Finished(job="train", seconds=time.monotonic() - started)
        return
    from loraloom.jobs.course import run

    yield from guarded(run(plan, device, stop, started), "memory.train")


def _measured(plan: Plan, device: torch.device) -> Iterator[Event]:
    """Measure a step, and tell the plan with what it came to."""
    from loraloom.jobs.measuring import measure

    measured = yield from measure(plan, device)
    yield Planned(job="train", plan={**plan.summary(), "measured": measured})
    yield from plan.findings()


def check(
    recipe: Recipe, stop: Callable[[], bool] = lambda: False
) -> Generator[Event, None, Plan | None]:
    """Look at the folders; return the plan of a run after all that can be checked without loading.

    None if `stop`, asked after each picture, says so. Raises `DatasetError` for the folders,
    `OutputError` for the files to be written, `ModelError` for the base, `UsageError` for options
    that do not go with it.
    """
    if recipe.mixed_precision == "fp16":
        raise UsageError("train.half_precision")
    base: AimedBase | None = None
    fault: ModelError | None = None
    try:
        base = aimed_base(recipe.pretrained_model_name_or_path)
    except ModelError as error:
        fault = error  # what is wrong with the folders is told before
    scans = yield from check_folders(recipe, base, stop)
    if scans is None:
        return None
    plan = make_plan(recipe, scans, base)
    if fault is not None:
        raise fault
    if base is not None and base.geometry is not None:
        plan.check_fit(base.geometry)
    return plan
