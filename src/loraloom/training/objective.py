"""The denoising loss, one value per row of a batch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import final

import torch
from jaxtyping import Float, Int
from torch import Tensor

from loraloom.models.conditioning import Conditioning
from loraloom.models.model import AbstractModel, Latents
from loraloom.models.noising import Noising
from loraloom.training.weighting import min_snr


@final
@dataclass(frozen=True)
class Noised:
    """Clean latents with the draw that noises them."""

    clean: Latents
    eps: Latents
    t: Int[Tensor, " batch"]
    weight: Float[Tensor, " batch"]

    @classmethod
    def joined(cls, draws: list[Noised]) -> Noised:
        """Return the rows of several draws, one after the other."""
        return cls(
            torch.cat([draw.clean for draw in draws]),
            torch.cat([draw.eps for draw in draws]),
            torch.cat([draw.t for draw in draws]),
            torch.cat([draw.weight for draw in draws]),
        )


def draw_noise(
    clean: Latents,
    noising: Noising,
    generator: torch.Generator,
    *,
    noise_offset: float = 0.0,
    min_snr_gamma: float | None = None,
) -> Noised:
    """Draw timestep and noise for each row from the adapter's own generator, on the CPU.

    `noise_offset` adds to each channel one more normal draw of that size, so that a model can
    learn to change the overall brightness; `min_snr_gamma` weighs the timesteps.
    """
    rows = len(clean)
    t = torch.randint(noising.timesteps, (rows,), generator=generator)
    eps = torch.randn(clean.shape, generator=generator)
    if noise_offset:
        eps = eps + noise_offset * torch.randn(*clean.shape[:2], 1, 1, generator=generator)
    weight = torch.ones(rows) if min_snr_gamma is None else min_snr(noising, t, min_snr_gamma)
    return Noised(clean, eps.to(clean), t.to(clean.device), weight.to(clean))


def losses(
    model: AbstractModel, noised: Noised, conditioning: Conditioning
) -> Float[Tensor, " batch"]:
    """Return the weighted mean squared error of each row's prediction.

    The difference is taken in float32 at least, whatever the networks compute in.
    """
    noising = model.noising
    noisy = noising.noise(noised.clean, noised.eps, noised.t)
    predicted = model.predict(noisy.to(model.dtype), noised.t, conditioning)
    target = noising.target(noised.clean, noised.eps, noised.t)
    exact = torch.promote_types(predicted.dtype, torch.float32)
    error = (predicted.to(exact) - target.to(exact)).square().flatten(1).mean(dim=1)
    return noised.weight * error
