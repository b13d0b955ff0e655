"""Names of samplers, and what the schedulers behind them share with training."""

from __future__ import annotations

from typing import Any, cast

import diffusers
import pytest
import torch

from loraloom.errors import UsageError
from loraloom.generation.samplers import SAMPLERS, SCHEDULES, find_sampler
from loraloom.generation.schedulers import build_scheduler
from loraloom.models.noising import Noising

from ..tiny_base import SCHEDULER


@pytest.mark.parametrize(
    ("name", "found"),
    [
        ("DPM++ 2M", ("DPM++ 2M", "Automatic")),
        ("DPM++ 2M Karras", ("DPM++ 2M", "Karras")),
        ("dpm++ 2m sde karras", ("DPM++ 2M SDE", "Karras")),
        ("DPM++ 2M SGM Uniform", ("DPM++ 2M", "SGM Uniform")),
        ("k_euler_a", ("Euler a", "Automatic")),
        ("Euler Ancestral", ("Euler a", "Automatic")),
        ("ddim", ("DDIM", "Automatic")),
        ("DDIMScheduler", ("DDIM", "Automatic")),
        ("DPMSolverMultistepScheduler", ("DPM++ 2M", "Automatic")),
        ("pndm", ("PLMS", "Automatic")),
    ],
)
def test_names(name: str, found: tuple[str, str]) -> None:
    sampler, schedule = find_sampler(name)
    assert (sampler.label, schedule) == found


def test_schedule_of_its_own_argument() -> None:
    assert find_sampler("Euler", "karras")[1] == "Karras"
    with pytest.raises(UsageError, match="Karras"):
        find_sampler("Euler", "Karas")


def test_unknown_name_tells_the_nearest() -> None:
    with pytest.raises(UsageError, match=r"DPM\+\+ 2M") as caught:
        find_sampler("DPM 2M++")
    assert caught.value.exit_code == 2


def test_every_spelling_is_of_one_sampler() -> None:
    assert len(SAMPLERS) > 5
    for label, sampler in SAMPLERS.items():
        assert all(find_sampler(name)[0].label == label for name in (label, *sampler.aliases))


@pytest.mark.parametrize("label", SAMPLERS)
@pytest.mark.parametrize("prediction", ["epsilon", "v_prediction"])
def test_samplers_and_training_share_one_noise_table(label: str, prediction: str) -> None:
    noising = Noising.from_config({**SCHEDULER, "prediction_type": prediction})
    scheduler: Any = build_scheduler(SAMPLERS[label], "Automatic", noising)
    assert torch.equal(scheduler.alphas_cumprod, noising.signal)
    assert scheduler.config.prediction_type == prediction


@pytest.mark.parametrize("label", SAMPLERS)
def test_schedulers_are_those_of_the_model_s_own_configuration(label: str) -> None:
    sampler = SAMPLERS[label]
    config = cast("dict[str, Any]", diffusers.PNDMScheduler.from_config(SCHEDULER).config)
    theirs = getattr(diffusers, sampler.scheduler).from_config(config, **sampler.settings)
    ours: Any = build_scheduler(sampler, "Automatic", Noising.from_config(SCHEDULER))
    names = [name for name in ours.config if not name.startswith("_")]
    assert {name: ours.config[name] for name in names} == {n: theirs.config[n] for n in names}


def test_schedules_reach_the_scheduler() -> None:
    noising = Noising.from_config(SCHEDULER)
    for schedule, settings in SCHEDULES.items():
        scheduler: Any = build_scheduler(SAMPLERS["DPM++ 2M"], schedule, noising)
        assert all(scheduler.config[name] == value for name, value in settings.items())


def test_a_schedule_that_a_sampler_cannot_follow() -> None:
    with pytest.raises(UsageError, match="DDIM"):
        build_scheduler(SAMPLERS["DDIM"], "Karras", Noising.from_config(SCHEDULER))
