"""How much each timestep counts in the loss."""

from __future__ import annotations

from jaxtyping import Float, Int
from torch import Tensor

from loraloom.models.noising import Noising


def min_snr(noising: Noising, t: Int[Tensor, " batch"], gamma: float) -> Float[Tensor, " batch"]:
    """Return min(SNR, gamma) / SNR for epsilon, / (SNR + 1) for v prediction.

    Source: arXiv 2303.09556, section 3.4; the v form is the same weight on x_0.
    """
    snr = noising.snr(t)
    return snr.clamp(max=gamma) / (snr if noising.prediction == "epsilon" else snr + 1)
