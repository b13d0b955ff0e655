"""diffusers' schedulers, built over a model's own noise table."""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from importlib import import_module
from types import MappingProxyType
from typing import Any, Final, Protocol, runtime_checkable

import torch
from torch import Tensor

from loraloom.errors import UsageError
from loraloom.generation.samplers import SCHEDULES, Sampler
from loraloom.models.noising import Noising

_LDM: Final[Mapping[str, Any]] = MappingProxyType(
    {
        "steps_offset": 1,
        "clip_sample": False,
        "set_alpha_to_one": False,
        "skip_prk_steps": True,
    }
)
"""What the scheduler configurations of Stable Diffusion 1.x say beside the noise table."""


@runtime_checkable
class Scheduler(Protocol):
    """What sampling asks of a scheduler."""

    timesteps: Tensor
    init_noise_sigma: float

    def set_timesteps(self, num_inference_steps: int, device: torch.device) -> None:
        """Choose the timesteps."""
        ...

    def scale_model_input(self, sample: Tensor, timestep: Tensor) -> Tensor:
        """Bring a noisy sample to the scale that the network expects."""
        ...

    def step(
        self, model_output: Tensor, timestep: Tensor, sample: Tensor, **arguments: Any
    ) -> Sequence[Tensor]:
        """Take one step; the first result is the next sample."""
        ...


def build_scheduler(sampler: Sampler, schedule: str, noising: Noising) -> Scheduler:
    """Return a fresh scheduler; a schedule that the sampler cannot follow is a `UsageError`.

    What neither the model nor the schedule says is left to the class, as in diffusers'
    `from_config`.
    """
    scheduler: Any = getattr(import_module("diffusers"), sampler.scheduler)
    known = inspect.signature(scheduler.__init__).parameters
    asked = SCHEDULES[schedule]
    if any(name not in known for name in asked):
        raise UsageError("sampler.schedule", sampler=sampler.label, schedule=schedule)
    general = {**_LDM, **noising.settings}
    accepted = {name: value for name, value in general.items() if name in known}
    return scheduler(**{**accepted, **sampler.settings, **asked})
