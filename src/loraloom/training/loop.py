"""The training loop: one forward and one backward pass for the rows of all adapters."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence

import torch

from loraloom.adapters.attachment import Attachment
from loraloom.errors import Diverged
from loraloom.events import Event, Stepped, Warned
from loraloom.models.conditioning import Conditioning
from loraloom.models.model import AbstractModel
from loraloom.training.objective import Noised, draw_noise, losses
from loraloom.training.packed_texts import PackedTexts
from loraloom.training.rows import divide_rows
from loraloom.training.trainee import Rows, Trainee

AfterStep = Callable[[int, Sequence[Trainee]], Iterator[Event]]
"""(step, the adapters that took it) -> events: where a job saves files and draws samples."""


def train(
    model: AbstractModel,
    attachment: Attachment,
    trainees: Sequence[Trainee],
    *,
    after_step: AfterStep,
    stop: Callable[[], bool],
) -> Iterator[Event]:
    """Train all adapters to their own last steps, or until `stop` says so after a step.

    Every step packs the rows of all adapters that are not finished into one batch, each row worn
    by its own adapter alone. The loss of an adapter is the mean over its own rows of the step, in
    how many batches ever, and gradients cannot cross rows, so each comes out as if it were trained
    alone, up to rounding.

    So one whose loss or gradient is not finite leaves alone: the step is not taken, and the others
    go on. When they are done, or were asked to stop, the first such error (`Diverged`) is raised.
    """
    step = 0
    while active := [trainee for trainee in trainees if trainee.active]:
        step += 1
        rates = {trainee.name: trainee.learning_rate for trainee in active}
        means = _gradients(model, attachment, active)
        norms, warnings = _update(active, means)
        taken = [trainee for trainee in active if trainee.failure is None]
        if any(trainee.active for trainee in trainees):
            yield from warnings
        if taken:
            yield Stepped(
                step=step,
                total=max(trainee.tuning.steps for trainee in taken),
                epoch=max(trainee.epoch for trainee in taken),
                losses={trainee.name: means[trainee.name] for trainee in taken},
                learning_rates={trainee.name: rates[trainee.name] for trainee in taken},
                gradient_norms=norms,
            )
            yield from after_step(step, taken)
        if stop():
            break
    for trainee in trainees:
        if trainee.failure is not None:
            raise trainee.failure


def _update(
    active: Sequence[Trainee], means: Mapping[str, float]
) -> tuple[dict[str, float], list[Warned]]:
    """Let each take its step; return the gradients' norms, and what became of those that broke."""
    norms: dict[str, float] = {}
    warnings: list[Warned] = []
    for trainee in active:
        try:
            norms[trainee.name] = trainee.update(means[trainee.name])
        except Diverged as error:
            warnings.append(trainee.fail(error))
    return norms, warnings


def _gradients(
    model: AbstractModel, attachment: Attachment, active: Sequence[Trainee]
) -> dict[str, float]:
    """Add up the gradients of one step; return each adapter's mean loss."""
    sums = dict.fromkeys((trainee.name for trainee in active), 0.0)
    updates = {trainee.name: trainee.feed.update() for trainee in active}
    rows = {name: sum(len(batch.clean) for batch in update) for name, update in updates.items()}
    for turn in range(max(map(len, updates.values()))):
        taking = [trainee for trainee in active if turn < len(updates[trainee.name])]
        batches = [updates[trainee.name][turn] for trainee in taking]
        drawn = [_draw(model, each, batch) for each, batch in zip(taking, batches, strict=True)]
        texts = PackedTexts(model, attachment, taking, [batch.captions for batch in batches])
        for group in _by_shape(drawn):
            members = [taking[i] for i in group]
            sizes = [len(drawn[i].clean) for i in group]
            divide_rows(attachment, [trainee.name for trainee in members], sizes)
            each = losses(
                model,
                Noised.joined([drawn[i] for i in group]),
                Conditioning.joined([texts.states[i] for i in group]),
            )
            own = [
                part.sum() / rows[trainee.name]
                for trainee, part in zip(members, torch.split(each, sizes), strict=True)
            ]
            torch.stack(own).sum().backward()
            for trainee, mean in zip(members, own, strict=True):
                sums[trainee.name] += mean.item()
        texts.backward()
    return sums


def _draw(model: AbstractModel, trainee: Trainee, rows: Rows) -> Noised:
    trainee.epoch = rows.epoch
    noised = draw_noise(
        rows.clean,
        model.noising,
        trainee.noise,
        noise_offset=trainee.tuning.noise_offset,
        min_snr_gamma=trainee.tuning.min_snr_gamma,
    )
    if rows.weights:
        noised = noised.weighted(rows.weights)
    return noised.masked(rows.masks)


def _by_shape(draws: Sequence[Noised]) -> Iterator[list[int]]:
    """Yield the indices of draws of each latent shape: those can share a forward pass."""
    shapes = dict.fromkeys(draw.clean.shape[1:] for draw in draws)
    for shape in shapes:
        yield [i for i, draw in enumerate(draws) if draw.clean.shape[1:] == shape]
