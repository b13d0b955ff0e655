"""The loss against its formula."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from loraloom.models.load import load_model
from loraloom.models.noising import Noising
from loraloom.training.objective import Noised, draw_noise, losses
from loraloom.training.weighting import min_snr

SETTINGS = {
    "num_train_timesteps": 1000,
    "beta_start": 0.00085,
    "beta_end": 0.012,
    "beta_schedule": "scaled_linear",
}


def test_loss_is_the_mean_square_of_the_prediction_error(tiny_base: Path) -> None:
    model = load_model(tiny_base)
    clean, eps = torch.randn(2, 3, 4, 8, 8, generator=torch.Generator().manual_seed(1))
    t = torch.tensor([10, 500, 999])
    text = model.encode_text(["a red house", "a tree", ""])
    weight = torch.tensor([1.0, 0.5, 0.0])
    with torch.no_grad():
        ours = losses(model, Noised(clean, eps, t, weight), text)
        signal = model.noising.signal[t].view(3, 1, 1, 1)
        noisy = signal.sqrt() * clean + (1 - signal).sqrt() * eps
        predicted = model.predict(noisy, t, text)
    expected = weight * ((predicted - eps) ** 2).mean(dim=(1, 2, 3))
    torch.testing.assert_close(ours, expected)
    assert ours[2] == 0 < ours[1]


def test_a_masked_loss_is_the_mean_over_the_mask(tiny_base: Path) -> None:
    model = load_model(tiny_base)
    clean, eps = torch.randn(2, 3, 4, 8, 8, generator=torch.Generator().manual_seed(1))
    t, text = torch.tensor([10, 500, 999]), model.encode_text(["a red house", "a tree", ""])
    mask = torch.zeros(3, 1, 8, 8)
    mask[0, :, :2, :4] = 1
    mask[1, :, 4:] = 0.25
    weight = torch.tensor([1.0, 0.5, 1.0])
    plain = Noised(clean, eps, t, weight)
    with torch.no_grad():
        ours = losses(model, plain.masked(mask), text)
        noisy = model.noising.noise(clean, eps, t)
        squares = (model.predict(noisy, t, text) - eps) ** 2
        white = losses(model, plain.masked(torch.ones(3, 1, 8, 8)), text)
        torch.testing.assert_close(white, losses(model, plain.masked(None), text))
    torch.testing.assert_close(ours[0], squares[0, :, :2, :4].mean())
    torch.testing.assert_close(ours[1], 0.5 * squares[1, :, 4:].mean())
    assert ours[2] == 0


def test_draws_without_a_mask_are_white_beside_masked_ones() -> None:
    rows = torch.zeros(2, 4, 8, 8)
    plain = Noised(rows, rows, torch.zeros(2, dtype=torch.long), torch.ones(2))
    assert Noised.joined([plain, plain]).mask is None
    joined = Noised.joined([plain, plain.masked(torch.full((2, 1, 8, 8), 0.5))]).mask
    assert joined is not None
    assert joined.mean(dim=(1, 2, 3)).tolist() == [1, 1, 0.5, 0.5]


@pytest.mark.parametrize(("prediction", "denominator"), [("epsilon", 0.0), ("v_prediction", 1.0)])
def test_min_snr_weights(prediction: str, denominator: float) -> None:
    noising = Noising.from_config({**SETTINGS, "prediction_type": prediction})
    t = torch.tensor([0, 200, 999])
    signal = noising.signal[t]
    snr = signal / (1 - signal)
    expected = torch.minimum(snr, torch.tensor(5.0)) / (snr + denominator)
    torch.testing.assert_close(min_snr(noising, t, 5.0), expected)
    assert min_snr(noising, t, 5.0)[0] < 0.01, "an almost clean picture hardly counts"


def test_noise_offset_shifts_each_channel_as_a_whole() -> None:
    noising = Noising.from_config(SETTINGS)
    clean = torch.zeros(2, 4, 8, 8)
    plain = draw_noise(clean, noising, torch.Generator().manual_seed(3))
    shifted = draw_noise(clean, noising, torch.Generator().manual_seed(3), noise_offset=0.1)
    shift = shifted.eps - plain.eps
    assert torch.equal(plain.t, shifted.t)
    assert shift.flatten(2).std(dim=2).max() < 1e-6
    assert shift.abs().max() > 0.01


def test_a_seed_draws_the_same_noise_whatever_the_dtype() -> None:
    noising = Noising.from_config(SETTINGS)
    single = draw_noise(torch.zeros(2, 4, 8, 8), noising, torch.Generator().manual_seed(5))
    double = draw_noise(
        torch.zeros(2, 4, 8, 8, dtype=torch.float64), noising, torch.Generator().manual_seed(5)
    )
    assert double.eps.dtype == torch.float64
    assert torch.equal(single.eps.double(), double.eps)
