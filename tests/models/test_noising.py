"""The forward process, against diffusers' scheduler of the same configuration."""

from __future__ import annotations

from typing import Any

import diffusers
import pytest
import torch

from loraloom.errors import ModelError
from loraloom.models.noising import Noising
from loraloom.models.schedule import BETA_SCHEDULES

CONFIGS = (
    {"beta_schedule": "scaled_linear", "beta_start": 0.00085, "beta_end": 0.012},
    {"beta_schedule": "linear", "beta_start": 0.0001, "beta_end": 0.02},
)
TIMES = torch.tensor([0, 1, 500, 999])


@pytest.fixture(params=CONFIGS, ids=lambda config: config["beta_schedule"])
def config(request: pytest.FixtureRequest) -> dict[str, Any]:
    return {"num_train_timesteps": 1000, **request.param}


def test_noise_and_velocity_are_those_of_diffusers(
    config: dict[str, Any], generator: torch.Generator
) -> None:
    noising = Noising.from_config({**config, "prediction_type": "v_prediction"})
    scheduler: Any = diffusers.DDPMScheduler(**config)
    clean, eps = (torch.randn(4, 4, 8, 8, generator=generator) for _ in range(2))
    assert noising.timesteps == 1000
    assert torch.equal(noising.signal, scheduler.alphas_cumprod)
    noisy = noising.noise(clean, eps, TIMES)
    torch.testing.assert_close(noisy, scheduler.add_noise(clean, eps, TIMES))
    velocity = scheduler.get_velocity(clean, eps, TIMES)
    torch.testing.assert_close(noising.target(clean, eps, TIMES), velocity)


@pytest.mark.parametrize("prediction", ["epsilon", "v_prediction"])
def test_the_target_leads_back_to_the_picture(
    config: dict[str, Any], prediction: str, generator: torch.Generator
) -> None:
    noising = Noising.from_config({**config, "prediction_type": prediction})
    clean, eps = (
        torch.randn(4, 4, 8, 8, generator=generator, dtype=torch.float64) for _ in range(2)
    )
    noisy = noising.noise(clean, eps, TIMES)
    found = noising.clean(noisy, noising.target(clean, eps, TIMES), TIMES)
    torch.testing.assert_close(found, clean, rtol=0, atol=1e-9)


def test_epsilon_is_the_noise_itself(config: dict[str, Any]) -> None:
    eps = torch.ones(4, 4, 2, 2)
    assert torch.equal(Noising.from_config(config).target(eps * 3, eps, TIMES), eps)


def test_signal_to_noise(config: dict[str, Any]) -> None:
    noising = Noising.from_config(config)
    signal = noising.signal[TIMES]
    torch.testing.assert_close(noising.snr(TIMES), signal / (1 - signal))


@pytest.mark.parametrize(
    "odd", [{"beta_schedule": "squaredcos_cap_v2"}, {"prediction_type": "sample"}]
)
def test_unknown_processes(config: dict[str, Any], odd: dict[str, str]) -> None:
    with pytest.raises(ModelError, match=next(iter(odd.values()))):
        Noising.from_config({**config, **odd})


def test_every_known_schedule_has_a_process(config: dict[str, Any]) -> None:
    assert BETA_SCHEDULES
    for schedule in BETA_SCHEDULES:
        signal = Noising.from_config({**config, "beta_schedule": schedule}).signal
        assert bool((signal.diff() < 0).all())
