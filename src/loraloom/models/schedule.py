"""What a scheduler's configuration says of the forward process, understood without torch."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from pydantic import Field

from loraloom.errors import ModelError
from loraloom.models.configuration import AbstractConfiguration, understood

BETA_SCHEDULES: Final = ("linear", "scaled_linear")
PREDICTIONS: Final = ("epsilon", "v_prediction")


class Schedule(AbstractConfiguration):
    """How beta grows over the training timesteps, and what the network predicts."""

    num_train_timesteps: int = Field(ge=1)
    beta_start: float = Field(gt=0, lt=1)
    beta_end: float = Field(gt=0, lt=1)
    beta_schedule: str
    prediction_type: str = "epsilon"
    trained_betas: Any = None
    rescale_betas_zero_snr: Any = None


def schedule_of(config: Mapping[str, Any], where: Path | str = "scheduler_config.json") -> Schedule:
    """Return the schedule of a diffusers scheduler configuration.

    An entry of the wrong kind, and a process that is not known here, are a `ModelError`.
    """
    found = understood(Schedule, config, where)
    reshaped = found.trained_betas is not None or found.rescale_betas_zero_snr
    known = found.beta_schedule in BETA_SCHEDULES and found.prediction_type in PREDICTIONS
    if reshaped or not known:
        raise ModelError(
            "model.noising", schedule=found.beta_schedule, prediction=found.prediction_type
        )
    return found
