"""One step of a run, measured before the run: how long it takes and how much memory."""

from __future__ import annotations

import sys
import time
from collections.abc import Generator, Mapping
from dataclasses import replace
from typing import Any

import torch

from loraloom.adapters.attachment import attach
from loraloom.events import Event, PhaseStarted, Stepped
from loraloom.jobs.adapter_plan import AdapterPlan
from loraloom.jobs.base_model import open_model
from loraloom.jobs.device import choose_dtype
from loraloom.jobs.latents import Latents, cache_latents
from loraloom.jobs.plan import Plan
from loraloom.jobs.trainees import new_adapter, new_trainee
from loraloom.models.model import AbstractModel
from loraloom.training.loop import train


def measure(plan: Plan, device: torch.device) -> Generator[Event, None, Mapping[str, Any]]:
    """Take two steps of the largest batches and time the second; return what it came to.

    The first one sets things up. The pictures of one batch of each adapter are encoded, and nothing
    is written. `seconds` estimates the whole training without loading, samples and saving. The
    memory is the device's peak on CUDA, else the whole process's; None where it cannot be told.
    """
    yield PhaseStarted(phase="step")
    recipe = plan.recipe
    model = open_model(
        recipe.pretrained_model_name_or_path, device, choose_dtype(recipe.mixed_precision, device)
    )
    plan = plan.fitted(model.geometry)
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
    short = [_shortened(each) for each in plan.adapters]
    latents: Mapping[str, Latents] = {}
    started = time.perf_counter()
    for event in cache_latents(model, short):
        if not isinstance(event, Event):
            latents = event
    encoding = time.perf_counter() - started
    encoded = sum(len(each.scan.examples) for each in short)
    pictures = sum(len(each.scan.examples) for each in plan.adapters)
    step = _second_step(model, short, latents)
    return {
        "device": str(device),
        "step_seconds": step,
        "encoding_seconds": encoding / encoded * pictures,
        "seconds": step * plan.steps + encoding / encoded * pictures,
        "peak_bytes": _peak(device),
    }


def _shortened(plan: AdapterPlan) -> AdapterPlan:
    """Return a plan of two steps, both of full batches of the adapter's largest pictures."""
    options = plan.options
    training = options.training
    size, _ = plan.largest_batch
    rows, gathered = training.train_batch_size, training.gradient_accumulation_steps
    chosen = [
        replace(example, repeats=rows * gathered)
        for regularisation in (False, True)
        for example in _members(plan, size, regularisation=regularisation)[:rows]
    ]
    two = training.model_copy(update={"max_train_steps": 2, "max_train_epochs": None})
    return replace(
        plan,
        options=options.model_copy(update={"training": two}),
        scan=replace(plan.scan, examples=tuple(chosen)),
    )


def _members(plan: AdapterPlan, size: tuple[int, int], *, regularisation: bool) -> list[Any]:
    """Return the examples of a bucket, or of any where it has none of this sort."""
    pairs = [
        (example, bucket)
        for example, bucket in zip(plan.scan.examples, plan.sizes, strict=True)
        if example.regularisation == regularisation
    ]
    return [each for each, bucket in pairs if bucket == size] or [each for each, _ in pairs]


def _second_step(
    model: AbstractModel, plans: list[AdapterPlan], latents: Mapping[str, Latents]
) -> float:
    fresh = {each.options.name: new_adapter(model, each, "") for each in plans}
    times: list[float] = []
    with attach(model.networks, fresh, 0.0, trainable=True) as attachment:
        trainees = [
            new_trainee(model, attachment, each, latents[each.options.name]) for each in plans
        ]
        for event in train(
            model, attachment, trainees, after_step=lambda step, active: iter(()), stop=_never
        ):
            if isinstance(event, Stepped):
                times.append(time.perf_counter())  # its losses were read, so the device is done
    return times[1] - times[0]


def _never() -> bool:
    return False


def _peak(device: torch.device) -> int | None:
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    if sys.platform == "win32":
        return None
    import resource

    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most if sys.platform == "darwin" else most * 1024  # macOS counts bytes, Linux KiB
