"""The denoising loss, one value per row of a batch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
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
    """Clean latents with the draw that noises them; the mask says how much each cell counts."""

    clean: Latents
    eps: Latents
    t: Int[Tensor, " batch"]
    weight: Float[Tensor, " batch"]
    mask: Float[Tensor, "batch 1 h w"] | None = None

    @classmethod
    def joined(cls, draws: list[Noised]) -> Noised:
        """Return the rows of several draws, one after the other."""
        return cls(
            torch.cat([draw.clean for draw in draws]),
            torch.cat([draw.eps for draw in draws]),
            torch.cat([draw.t for draw in draws]),
            torch.cat([draw.weight for draw in draws]),
            _joined_masks(draws),
        )

    def masked(self, mask: Float[Tensor, "batch 1 h w"] | None) -> Noised:
        """Return the same draw under a mask."""
        return self if mask is None else replace(self, mask=mask.to(self.clean))

    def weighted(self, weights: Sequence[float]) -> Noised:
        """Return the draw with the weight of each row multiplied by another."""
        factors = torch.tensor(weights, dtype=torch.float64).to(self.weight)
        return replace(self, weight=self.weight * factors)


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

    The difference is taken in float32 at least, whatever the networks compute in. Under a mask it
    is the mean weighted by the mask, so that a small area counts as much as a large one; kohya's
    trainer divides by the whole area instead. A row whose mask is black all over gives 0.
    """
    noising = model.noising
    noisy = noising.noise(noised.clean, noised.eps, noised.t)
    predicted = model.predict(noisy.to(model.dtype), noised.t, conditioning)
    target = noising.target(noised.clean, noised.eps, noised.t)
    exact = torch.promote_types(predicted.dtype, torch.float32)
    squares = (predicted.to(exact) - target.to(exact)).square()
    return noised.weight * _mean(squares, noised.mask)


def _mean(
    squares: Float[Tensor, "batch channels h w"], mask: Float[Tensor, "batch 1 h w"] | None
) -> Float[Tensor, " batch"]:
    if mask is None:
        return squares.flatten(1).mean(dim=1)
    area = mask.to(squares.dtype).sum(dim=(1, 2, 3))
    least = torch.finfo(squares.dtype).tiny
    return (squares.mean(dim=1, keepdim=True) * mask).sum(dim=(1, 2, 3)) / area.clamp_min(least)


def _joined_masks(draws: Sequence[Noised]) -> Float[Tensor, "batch 1 h w"] | None:
    """Return the masks of all rows, white where a draw has none; None if no draw has one."""
    if all(draw.mask is None for draw in draws):
        return None
    white = [torch.ones_like(draw.clean[:, :1]) for draw in draws]
    return torch.cat(
        [each if draw.mask is None else draw.mask for each, draw in zip(white, draws, strict=True)]
    )
