"""Sampling: from prompts and seeds to pixels, each row with its own weighted set of adapters."""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping, Sequence
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from loraloom.adapters.attachment import Attachment
from loraloom.adapters.strength import RowStrength
from loraloom.errors import UsageError
from loraloom.generation.request import ImageRequest, SamplingSettings
from loraloom.generation.samplers import find_sampler
from loraloom.generation.schedulers import Scheduler, build_scheduler
from loraloom.models.conditioning import Conditioning
from loraloom.models.model import AbstractModel, Latents, Pixels

_DECODED_AT_ONCE = 4


def sample(
    model: AbstractModel,
    attachment: Attachment,
    requests: Sequence[ImageRequest],
    settings: SamplingSettings,
    *,
    stop: Callable[[], bool] | None = None,
) -> Pixels | None:
    """Return the pictures of one batch, in [-1, 1]; None if `stop` said so after a step.

    Each picture is, up to rounding, what it would be alone, and equals that of diffusers'
    `StableDiffusionPipeline` with the same scheduler and one CPU generator per picture.
    """
    work = sampling_steps(model, attachment, requests, settings)
    while True:
        try:
            next(work)
        except StopIteration as finished:
            return finished.value
        if stop is not None and stop():
            return None


@torch.inference_mode()
def sampling_steps(
    model: AbstractModel,
    attachment: Attachment,
    requests: Sequence[ImageRequest],
    settings: SamplingSettings,
) -> Generator[int, None, Pixels]:
    """Do as `sample`, yielding after each step but the last how many of `settings.steps` are done.

    The attachment's strengths belong to the batch until it is finished. Samplers of higher order
    take more steps than they are asked for; what is yielded stays in proportion.
    """
    sampler, schedule = find_sampler(settings.sampler, settings.schedule)
    scheduler = build_scheduler(sampler, schedule, model.noising)
    _set_timesteps(scheduler, settings, model)
    guided = settings.cfg_scale > 1
    attachment.set_strengths(_strengths(requests, guided))
    conditioning = _conditioning(model, requests, settings.clip_skip, guided)
    generators = [torch.Generator().manual_seed(request.seed) for request in requests]
    arguments: dict[str, Any] = {"generator": generators} if sampler.stochastic else {}
    latents = _first_noise(model, generators, settings) * scheduler.init_noise_sigma
    for index, t in enumerate(scheduler.timesteps):
        if index:
            yield index * settings.steps // len(scheduler.timesteps)
        scaled = scheduler.scale_model_input(latents, t).to(model.dtype)
        noisy = torch.cat([scaled, scaled]) if guided else scaled
        prediction = model.predict(noisy, t.expand(len(noisy)), conditioning).to(latents.dtype)
        if guided:
            prediction = _guide(prediction, settings.cfg_scale)
        latents = scheduler.step(prediction, t, latents, **arguments, return_dict=False)[0]
    starts = range(0, len(latents), _DECODED_AT_ONCE)
    chunks = [latents[start : start + _DECODED_AT_ONCE] for start in starts]
    return torch.cat([model.decode(chunk) for chunk in chunks])


def _set_timesteps(scheduler: Scheduler, settings: SamplingSettings, model: AbstractModel) -> None:
    model.geometry.check_steps(settings.steps)
    try:
        scheduler.set_timesteps(settings.steps, device=model.device)
    except ValueError as error:
        raise UsageError("sampling.steps_refused", steps=settings.steps, reason=error) from error


def _strengths(
    requests: Sequence[ImageRequest], guided: bool
) -> dict[str, Mapping[str, RowStrength]]:
    """Return each adapter's strengths by part: a number where all rows agree, else one per row."""
    found: dict[str, Mapping[str, RowStrength]] = {}
    for name in dict.fromkeys(name for request in requests for name in request.strengths):
        worn = [request.strengths.get(name, {}) for request in requests]
        parts = dict.fromkeys(part for each in worn for part in each)
        found[name] = {part: _rows([w.get(part, 0.0) for w in worn], guided) for part in parts}
    return found


def _rows(strengths: Sequence[float], guided: bool) -> RowStrength:
    if len(set(strengths)) == 1:
        return strengths[0]
    return torch.tensor(strengths).repeat(2 if guided else 1)


def _conditioning(
    model: AbstractModel, requests: Sequence[ImageRequest], clip_skip: int, guided: bool
) -> Conditioning:
    """Return the text states: negative prompts first, as diffusers orders them, then prompts."""
    negatives = [request.negative_prompt for request in requests] if guided else []
    prompts = [request.prompt for request in requests]
    return model.encode_text([*negatives, *prompts], clip_skip)


def _first_noise(
    model: AbstractModel, generators: Sequence[torch.Generator], settings: SamplingSettings
) -> Latents:
    """Draw on the CPU in float32, so that a seed means the same picture on every device."""
    shape = model.latent_shape(settings.width, settings.height)
    noise = torch.stack([torch.randn(shape, generator=generator) for generator in generators])
    return noise.to(model.device, torch.promote_types(model.dtype, torch.float32))


def _guide(
    prediction: Float[Tensor, "rows channels h w"], scale: float
) -> Float[Tensor, "batch channels h w"]:
    """Return classifier-free guidance (arXiv 2207.12598, equation 6, with scale = 1 + w)."""
    negative, positive = prediction.chunk(2)
    return negative + scale * (positive - negative)
