"""The forward process of a diffusion model, shared by the training loss and the samplers."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Final, Literal, final

import torch
from jaxtyping import Float, Int
from torch import Tensor

from loraloom.models.schedule import schedule_of

Latents = Float[Tensor, "batch channels height width"]
Timesteps = Int[Tensor, " batch"]

_SETTINGS = ("num_train_timesteps", "beta_start", "beta_end", "beta_schedule")
_SPACING = ("timestep_spacing", "steps_offset")

_BETAS: Final[Mapping[str, Callable[[float, float, int], Tensor]]] = MappingProxyType(
    {
        "linear": lambda start, end, steps: torch.linspace(start, end, steps, dtype=torch.float32),
        "scaled_linear": lambda start, end, steps: (
            torch.linspace(start**0.5, end**0.5, steps, dtype=torch.float32) ** 2
        ),
    }
)
"""Name in configurations -> beta by timestep, from its first and last value."""


@final
@dataclass(frozen=True, kw_only=True)
class Noising:
    """Variance-preserving noising: x_t = sqrt(abar_t) x_0 + sqrt(1 - abar_t) eps.

    `signal` is abar_t, the cumulative product of 1 - beta (arXiv 2006.11239, equation 4), one
    value per training timestep. `settings` are the values of the scheduler's configuration that
    it was made from; samplers are built from the same ones, so that training and sampling cannot
    drift apart.
    """

    signal: Float[Tensor, " timesteps"]
    prediction: Literal["epsilon", "v_prediction"]
    settings: Mapping[str, Any]

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> Noising:
        """Build from a diffusers scheduler configuration; an unknown one is a `ModelError`."""
        schedule = schedule_of(config)
        beta = _BETAS[schedule.beta_schedule](
            schedule.beta_start, schedule.beta_end, schedule.num_train_timesteps
        )
        return cls(
            signal=torch.cumprod(1 - beta, dim=0),
            prediction="epsilon" if schedule.prediction_type == "epsilon" else "v_prediction",
            settings={
                **{key: config[key] for key in _SETTINGS},
                **{key: config[key] for key in _SPACING if key in config},
                "prediction_type": schedule.prediction_type,
            },
        )

    @property
    def timesteps(self) -> int:
        """The number of training timesteps, 1000 as a rule."""
        return len(self.signal)

    def noise(self, clean: Latents, eps: Latents, t: Timesteps) -> Latents:
        """Return x_t (equation 4)."""
        signal, sigma = self._scales(t, clean)
        return signal * clean + sigma * eps

    def target(self, clean: Latents, eps: Latents, t: Timesteps) -> Latents:
        """Return what is to be predicted: eps, or v (arXiv 2202.00512, section 4)."""
        if self.prediction == "epsilon":
            return eps
        signal, sigma = self._scales(t, clean)
        return signal * eps - sigma * clean

    def clean(self, noisy: Latents, prediction: Latents, t: Timesteps) -> Latents:
        """Return the x_0 that a prediction at x_t implies."""
        signal, sigma = self._scales(t, noisy)
        if self.prediction == "epsilon":
            return (noisy - sigma * prediction) / signal
        return signal * noisy - sigma * prediction

    def snr(self, t: Timesteps) -> Float[Tensor, " batch"]:
        """Return the signal-to-noise ratio abar_t / (1 - abar_t)."""
        signal = self.signal.to(t.device)[t]
        return signal / (1 - signal)

    def _scales(self, t: Timesteps, like: Latents) -> tuple[Tensor, Tensor]:
        """Return sqrt(abar_t) and sqrt(1 - abar_t), shaped (batch, 1, 1, 1).

        The table is float32; a float64 run keeps its values and computes on in float64.
        """
        signal = self.signal.to(like.device, torch.promote_types(like.dtype, torch.float32))[t]
        shape = (-1, *(1 for _ in like.shape[1:]))
        scales = signal.sqrt().view(shape), (1 - signal).sqrt().view(shape)
        return scales[0].to(like.dtype), scales[1].to(like.dtype)
