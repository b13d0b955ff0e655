"""The training job: from a recipe to adapter files."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import final

import torch

from loraloom.adapters.attachment import Attachment, attach
from loraloom.data.cache import LatentCache
from loraloom.errors import UsageError
from loraloom.events import Event, Finished, PhaseStarted, Planned, Saved, Stepped
from loraloom.formats.files import write_adapter
from loraloom.jobs.base import open_model
from loraloom.jobs.device import DTYPES, choose_device, choose_dtype
from loraloom.jobs.plan import Plan, epoch_path, final_path, make_plan, step_path
from loraloom.jobs.previews import Previews
from loraloom.jobs.recipe import Recipe
from loraloom.jobs.run_folder import create_run_folder, recorded
from loraloom.jobs.trainees import cache_latents, new_adapter, new_trainee
from loraloom.models.model import AbstractModel
from loraloom.training.loop import train as train_all
from loraloom.training.trainee import Trainee


def train(recipe: Recipe, stop: Callable[[], bool] = lambda: False) -> Iterator[Event]:
    """Train all adapters of a recipe together; yield what happens.

    Everything that can be wrong with folders, options and outputs is found before the model is
    loaded. `stop` is asked after each step: then all adapters are saved as they are, and the last
    event says that the run was interrupted.
    """
    started = time.monotonic()
    plan = make_plan(recipe)
    yield Planned(job="train", plan=plan.summary())
    yield from plan.findings()
    if recipe.dry_run:
        yield Finished(job="train", seconds=time.monotonic() - started)
        return
    device = choose_device(recipe.device)
    dtype = choose_dtype(recipe.mixed_precision, device)
    if dtype == torch.float16:
        raise UsageError("train.half_precision")
    yield PhaseStarted(phase="model")
    model = open_model(recipe.pretrained_model_name_or_path, device, dtype)
    # Only now, so that a model that cannot be loaded leaves no run behind.
    create_run_folder(recipe.run_dir, recipe.to_toml())
    yield from recorded(recipe.run_dir, _run(plan, model, stop, started))


def _run(
    plan: Plan,
    model: AbstractModel,
    stop: Callable[[], bool],
    started: float,
) -> Iterator[Event]:
    caches: Mapping[str, LatentCache] = {}
    for event in cache_latents(model, plan.adapters):
        if isinstance(event, Event):
            yield event
        else:
            caches = event
    base_hash = model.base_hash()
    fresh = {each.options.name: new_adapter(model, each, base_hash) for each in plan.adapters}
    with attach(model.networks, fresh, 0.0, trainable=True) as attachment:
        trainees = [
            new_trainee(model, attachment, each, caches[each.options.name])
            for each in plan.adapters
        ]
        course = _Course(plan, model, attachment)
        yield PhaseStarted(phase="training", total=plan.steps)
        yield from course.before()
        for event in train_all(
            model, attachment, trainees, after_step=course.after_step, stop=stop
        ):
            if isinstance(event, Stepped):
                course.losses.update(event.losses)
            yield event
        unfinished = [trainee for trainee in trainees if not trainee.finished]
        for trainee in unfinished:
            yield course.save(trainee, final_path(plan.recipe, trainee.name))
    yield Finished(
        job="train",
        seconds=time.monotonic() - started,
        interrupted=bool(unfinished),
        outputs=plan.files,
    )


@final
class _Course:
    """What happens beside the steps: files and samples."""

    def __init__(self, plan: Plan, model: AbstractModel, attachment: Attachment) -> None:
        self.losses: dict[str, float] = {}
        self._recipe = plan.recipe
        self._attachment = attachment
        self._plans = {each.options.name: each for each in plan.adapters}
        self._previews = Previews(plan.recipe, model, attachment)

    def before(self) -> Iterator[Event]:
        """Draw the first samples if the recipe asks for them."""
        if self._recipe.sample_at_first:
            yield from self._previews.draw(tuple(self._plans), 0)

    def after_step(self, step: int, active: Sequence[Trainee]) -> Iterator[Event]:
        """Save and draw what is due after a step; at an adapter's last step, always."""
        recipe = self._recipe
        due: list[str] = []
        for trainee in active:
            per_epoch = self._plans[trainee.name].steps_per_epoch
            if trainee.finished:
                yield self.save(trainee, final_path(recipe, trainee.name))
            elif _is_due(step, recipe.save_every_n_steps):
                yield self.save(trainee, step_path(recipe, trainee.name, step))
            elif _is_due(step, recipe.save_every_n_epochs, per_epoch):
                yield self.save(trainee, epoch_path(recipe, trainee.name, step // per_epoch))
            if (
                trainee.finished
                or _is_due(step, recipe.sample_every_n_steps)
                or _is_due(step, recipe.sample_every_n_epochs, per_epoch)
            ):
                due.append(trainee.name)
        yield from self._previews.draw(due, step)

    def save(self, trainee: Trainee, path: Path) -> Saved:
        """Write one adapter as it is now."""
        facts = {
            "steps": trainee.step,
            "epoch": trainee.epoch,
            "num_train_images": len(self._plans[trainee.name].scan.examples),
            "loss": self.losses.get(trainee.name),
        }
        adapter = self._attachment.adapter(trainee.name).with_card(facts=facts)
        write_adapter(
            adapter,
            path,
            format=self._recipe.save_format,
            dtype=DTYPES[self._recipe.save_precision],
            overwrite=self._recipe.overwrite,
        )
        return Saved(path=path, what="adapter", step=trainee.step)


def _is_due(step: int, every: int | None, unit: int = 1) -> bool:
    return every is not None and step % (every * unit) == 0
