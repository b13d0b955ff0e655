"""The training job: from a recipe to adapter files."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

from loraloom.errors import UsageError
from loraloom.events import Event, Finished, Planned
from loraloom.jobs.base_check import check_base
from loraloom.jobs.memory import guarded
from loraloom.jobs.plan import Plan, make_plan
from loraloom.jobs.recipe import Recipe


def train(recipe: Recipe, stop: Callable[[], bool] = lambda: False) -> Iterator[Event]:
    """Train all adapters of a recipe together; yield what happens.

    Everything that can be known to be wrong without loading the model is found before anything
    is loaded or written; a dry run ends there. `stop` is asked after each step: then all adapters
    are saved as they are, and the last event says that the run was interrupted.

    An adapter whose loss is no longer finite leaves the run alone. The others are trained to their
    ends and saved; then `Diverged` is raised in place of the last event.
    """
    started = time.monotonic()
    plan = check(recipe)
    yield Planned(job="train", plan=plan.summary())
    yield from plan.findings()

    # Only now, for torch takes seconds to import, and the model libraries more.
    from loraloom.jobs.device import choose_device

    device = choose_device(recipe.device)
    if recipe.dry_run:
        yield Finished(job="train", seconds=time.monotonic() - started)
        return
    from loraloom.jobs.course import run

    yield from guarded(run(plan, device, stop, started), "memory.train")


def check(recipe: Recipe) -> Plan:
    """Return the plan of a run after everything that can be checked without loading the model.

    Raises `DatasetError` for the folders, `OutputError` for the files to be written, `ModelError`
    for the base, `UsageError` for options that do not go with it.
    """
    if recipe.mixed_precision == "fp16":
        raise UsageError("train.half_precision")
    plan = make_plan(recipe)
    base = check_base(recipe.pretrained_model_name_or_path).found
    if base.geometry is not None:
        plan.check_fit(base.geometry)
    return plan
