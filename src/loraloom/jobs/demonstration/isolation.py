"""Whether adapters trained together come out as if each were trained alone."""

from __future__ import annotations

from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import chain
from typing import Final

import torch

from loraloom.adapters.adapter import Adapter
from loraloom.adapters.attachment import attach
from loraloom.evaluation.report import Gap, Isolation
from loraloom.events import Advanced, Event, Measured, PhaseStarted
from loraloom.jobs.adapter_plan import AdapterPlan
from loraloom.jobs.latents import Latents, cache_latents
from loraloom.jobs.trainees import new_adapter, new_trainee
from loraloom.models.model import AbstractModel
from loraloom.training.loop import train

STEPS: Final = 20
ALLOWED: Final = {torch.float32: 1e-2, torch.float64: 1e-9}
"""Largest ‖packed − solo‖ / ‖solo‖ of one tensor; rounding is all that may differ."""


def measure_isolation(
    models: Mapping[torch.dtype, AbstractModel], plans: Sequence[AdapterPlan]
) -> Generator[Event, None, Isolation]:
    """Train all plans together and each alone, in each model's precision; return the gaps.

    All learn from the same latents, those of the first model: give the fastest first.
    """
    with _one_thread():
        return (yield from _measured(models, plans))


def _measured(
    models: Mapping[torch.dtype, AbstractModel], plans: Sequence[AdapterPlan]
) -> Generator[Event, None, Isolation]:
    caches = yield from _encoded(next(iter(models.values())), plans)
    yield PhaseStarted(phase="isolation", total=len(models) * (1 + len(plans)))
    gaps: dict[torch.dtype, Gap] = {}
    tensors = done = 0
    for dtype, model in models.items():
        together = trained(model, plans, caches)
        yield Advanced(phase="isolation", done=(done := done + 1))
        alone: dict[str, Adapter] = {}
        for plan in plans:
            alone |= trained(model, [plan], caches)
            yield Advanced(phase="isolation", done=(done := done + 1))
        found = dict(chain.from_iterable(_gaps(n, together[n], alone[n]) for n in alone))
        tensors = len(found)
        worst = max(found, key=lambda name: found[name])
        gaps[dtype] = Gap(difference=found[worst], tensor=worst, allowed=ALLOWED[dtype])
    for dtype, gap in gaps.items():
        yield Measured(name=f"isolation, {dtype}".replace("torch.", ""), value=gap.difference)
    return Isolation(
        adapters=len(plans),
        steps=STEPS,
        batch_size=plans[0].options.training.train_batch_size,
        tensors=tensors,
        float64=gaps[torch.float64],
        float32=gaps[torch.float32],
    )


@contextmanager
def _one_thread() -> Generator[None]:
    """Let torch work in one thread: with batches this small, sharing them out takes longer."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def _encoded(
    model: AbstractModel, plans: Sequence[AdapterPlan]
) -> Generator[Event, None, Mapping[str, Latents]]:
    caches: Mapping[str, Latents] = {}
    for event in cache_latents(model, plans):
        if isinstance(event, Event):
            yield event
        else:
            caches = event
    return caches


def trained(
    model: AbstractModel, plans: Sequence[AdapterPlan], caches: Mapping[str, Latents]
) -> dict[str, Adapter]:
    """Return the adapters of some plans after their steps, trained together in the model's type."""
    fresh = {plan.options.name: new_adapter(model, plan, "", model.dtype) for plan in plans}
    with attach(model.networks, fresh, 0.0, trainable=True) as attachment:
        trainees = [
            new_trainee(model, attachment, plan, caches[plan.options.name]) for plan in plans
        ]
        for _ in train(
            model, attachment, trainees, after_step=lambda step, active: iter(()), stop=_never
        ):
            pass
        return {plan.options.name: attachment.adapter(plan.options.name) for plan in plans}


def _never() -> bool:
    return False


def _gaps(name: str, packed: Adapter, solo: Adapter) -> Iterator[tuple[str, float]]:
    for site, delta in solo.deltas.items():
        other = packed.deltas[site].parts()
        for part, tensor in delta.parts().items():
            difference = (other[part] - tensor).square().sum() / tensor.square().sum()
            yield f"{name}: {site} {part}", float(difference.sqrt())
