"""A training run under way: the model, the steps, and the files and samples beside them."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import final

import torch

from loraloom.adapters.adapter import Adapter
from loraloom.adapters.attachment import Attachment, attach
from loraloom.errors import Diverged, OutputError
from loraloom.events import Event, Finished, PhaseStarted, Saved, Stepped
from loraloom.formats.excerpt import excerpt
from loraloom.formats.files import write_adapter
from loraloom.formats.obstacle import require_room
from loraloom.jobs.adapter_files import final_path
from loraloom.jobs.base_model import open_model
from loraloom.jobs.dataset_facts import dataset_facts
from loraloom.jobs.device import DTYPES, choose_dtype
from loraloom.jobs.latents import Latents, cache_latents, shelves_of
from loraloom.jobs.plan import Plan
from loraloom.jobs.previews import Previews
from loraloom.jobs.run_folder import create_run_folder, recorded
from loraloom.jobs.trainees import new_adapter, new_trainee
from loraloom.models.model import AbstractModel
from loraloom.training.loop import train
from loraloom.training.trainee import Trainee


def run(
    plan: Plan, device: torch.device, stop: Callable[[], bool], started: float
) -> Iterator[Event]:
    """Load the model, train and save all adapters of a plan.

    The run's folder is made when the first step is about to be taken, so that what goes wrong
    before leaves nothing behind. `started` is the job's beginning on the steady clock.
    """
    recipe = plan.recipe
    yield PhaseStarted(phase="model")
    dtype = choose_dtype(recipe.mixed_precision, device)
    model = open_model(recipe.pretrained_model_name_or_path, device, dtype)
    plan = plan.fitted(model.geometry)
    base_hash = model.base_hash()
    fresh = {each.options.name: new_adapter(model, each, base_hash) for each in plan.adapters}
    require_room(recipe.output_dir, _size(fresh.values(), DTYPES[recipe.save_precision]))
    latents: Mapping[str, Latents] = {}
    for event in cache_latents(model, plan.adapters, shelves_of(recipe, model)):
        if isinstance(event, Event):
            yield event
        else:
            latents = event
    create_run_folder(recipe.run_dir, recipe.to_toml())
    yield from recorded(recipe.run_dir, _train(plan, model, fresh, latents, stop, started))


def _size(adapters: Iterable[Adapter], dtype: torch.dtype) -> int:
    """Return how many bytes the numbers of adapters will take in their files."""
    deltas = (delta for adapter in adapters for delta in adapter.deltas.values())
    numbers = sum(tensor.numel() for delta in deltas for tensor in delta.parts().values())
    return numbers * dtype.itemsize


def _train(
    plan: Plan,
    model: AbstractModel,
    fresh: Mapping[str, Adapter],
    latents: Mapping[str, Latents],
    stop: Callable[[], bool],
    started: float,
) -> Iterator[Event]:
    with attach(model.networks, fresh, 0.0, trainable=True) as attachment:
        trainees = [
            new_trainee(model, attachment, each, latents[each.options.name])
            for each in plan.adapters
        ]
        course = _Course(plan, model, attachment, trainees)
        yield PhaseStarted(phase="training", total=plan.steps)
        yield from course.before()
        with suppress(Diverged):  # Told at the end, with what became of the others.
            for event in train(
                model, attachment, trainees, after_step=course.after_step, stop=stop
            ):
                if isinstance(event, Stepped):
                    course.losses.update(event.losses)
                yield event
        unfinished = [trainee for trainee in trainees if trainee.active]
        yield from course.save_all(
            [(trainee, final_path(plan.recipe, trainee.name)) for trainee in unfinished]
        )
        course.require_whole()
    yield Finished(
        job="train",
        seconds=time.monotonic() - started,
        interrupted=bool(unfinished),
        outputs=plan.files,
    )


@final
class _Course:
    """What happens beside the steps: files and samples."""

    def __init__(
        self,
        plan: Plan,
        model: AbstractModel,
        attachment: Attachment,
        trainees: Sequence[Trainee],
    ) -> None:
        self.losses: dict[str, float] = {}
        self._recipe = plan.recipe
        self._attachment = attachment
        self._trainees = trainees
        self._plans = {each.options.name: each for each in plan.adapters}
        self._outputs = {name: each.outputs(plan.recipe) for name, each in self._plans.items()}
        self._previews = Previews(plan.recipe, model, attachment)

    def before(self) -> Iterator[Event]:
        """Draw the first samples if the recipe asks for them."""
        if self._recipe.sample_at_first:
            yield from self._previews.draw(tuple(self._plans), 0)

    def after_step(self, step: int, active: Sequence[Trainee]) -> Iterator[Event]:
        """Save and draw what is due after a step; at an adapter's last step, always."""
        paths = [(each, self._outputs[each.name].path_after(step)) for each in active]
        yield from self.save_all([(each, path) for each, path in paths if path is not None])
        due = [
            each.name
            for each in active
            if each.failure is None and self._outputs[each.name].draws_after(step)
        ]
        yield from self._previews.draw(due, step)

    def save_all(self, due: Sequence[tuple[Trainee, Path]]) -> Iterator[Event]:
        """Write several adapters; if one cannot be written, the others are before that is told."""
        failure: OutputError | None = None
        for trainee, path in due:
            try:
                yield from self.save(trainee, path)
            except OutputError as error:
                failure = failure or error
        if failure is not None:
            raise failure

    def save(self, trainee: Trainee, path: Path) -> Iterator[Event]:
        """Write one adapter as it is now; one that cannot be written as numbers leaves the run."""
        facts = {
            "steps": trainee.step,
            "epochs": trainee.epoch,
            "loss": self.losses.get(trainee.name),
            **dataset_facts(self._plans[trainee.name]),
        }
        adapter = self._attachment.adapter(trainee.name).with_card(facts=facts)
        precision = self._recipe.save_precision
        try:
            write_adapter(
                adapter,
                path,
                format=self._recipe.save_format,
                dtype=DTYPES[precision],
                overwrite=self._recipe.overwrite,
            )
        except Diverged as error:
            details = {"adapter": trainee.name, "step": trainee.step, "precision": precision}
            failure = Diverged("train.not_savable", **details, **error.details)
            told = trainee.fail(failure)
            if any(other.active for other in self._trainees):
                yield told
        else:
            yield Saved(path=path, what="adapter", step=trainee.step)

    def require_whole(self) -> None:
        """Raise Diverged if an adapter broke, telling which, and which are saved."""
        failures = {each.name: each.failure for each in self._trainees if each.failure}
        if not failures:
            return
        if len(self._trainees) == 1:
            raise next(iter(failures.values()))
        saved = [final_path(self._recipe, name) for name in self._plans if name not in failures]
        raise Diverged(
            "train.some_diverged" if saved else "train.all_diverged",
            count=len(failures),
            total=len(self._trainees),
            broken=", ".join(f"{name} ({each.details['step']})" for name, each in failures.items()),
            saved=excerpt(saved),
        )
