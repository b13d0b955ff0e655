"""One adapter in training: its data, its random streams, its optimizer and its progress."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, final, runtime_checkable

import torch
from jaxtyping import Float
from torch import Tensor, nn

from loraloom.adapters.attachment import Attachment
from loraloom.errors import Diverged
from loraloom.events import Warned
from loraloom.models.conditioning import Conditioning
from loraloom.models.model import Latents
from loraloom.training.optimizers import OPTIMIZERS, ParameterGroup
from loraloom.training.schedules import SCHEDULES
from loraloom.training.text_reading import TextReading


@final
@dataclass(frozen=True)
class Rows:
    """The pictures of one batch of one adapter: latents as drawn, captions as composed.

    `weights` multiply the losses of the rows; without them all count the same. `masks` say how
    much each cell of the latents counts.
    """

    clean: Latents
    captions: Sequence[str]
    epoch: int
    weights: Sequence[float] = ()
    masks: Float[Tensor, "batch 1 h w"] | None = None


@runtime_checkable
class Feed(Protocol):
    """An adapter's endless stream of steps."""

    def update(self) -> Sequence[Rows]:
        """Return the batches of the next step, at least one, each of pictures of one size."""
        ...


@final
@dataclass(frozen=True, kw_only=True)
class Tuning:
    """How one adapter is trained.

    `learning_rates` are by part; `schedule` and `optimizer` name rows of their tables;
    a `max_gradient_norm` of 0 clips nothing. `reading` is how the text encoder reads captions.
    """

    steps: int
    learning_rates: Mapping[str, float]
    schedule: str = "constant"
    warmup: int = 0
    optimizer: str = "adamw"
    optimizer_arguments: Mapping[str, Any]
    max_gradient_norm: float = 1.0
    noise_offset: float = 0.0
    min_snr_gamma: float | None = None
    reading: TextReading = field(default_factory=TextReading)


@final
class Trainee:
    """One adapter on its way; nothing in here knows of the others.

    `text_states` tells what a text encoder that the adapter leaves as it is says of captions; None
    if the adapter is worn by the text encoder too.
    """

    def __init__(
        self,
        name: str,
        attachment: Attachment,
        tuning: Tuning,
        feed: Feed,
        noise: torch.Generator,
        text_states: Callable[[Sequence[str]], Conditioning] | None,
    ) -> None:
        self.name = name
        self.tuning = tuning
        self.feed = feed
        self.noise = noise
        self.text_states = text_states
        self.step = 0
        self.epoch = 1
        self.failure: Diverged | None = None
        groups = [
            ParameterGroup(tuple(attachment.parameters(name, part)), rate)
            for part, rate in tuning.learning_rates.items()
        ]
        self._parameters: list[nn.Parameter] = [p for group in groups for p in group.parameters]
        self._optimizer = OPTIMIZERS[tuning.optimizer](groups, tuning.optimizer_arguments)
        self._peaks = [group.learning_rate for group in groups]

    @property
    def finished(self) -> bool:
        """Whether all steps are done."""
        return self.step >= self.tuning.steps

    @property
    def active(self) -> bool:
        """Whether it takes part in the next step: it is neither finished nor broken."""
        return self.failure is None and not self.finished

    @property
    def learning_rate(self) -> float:
        """The learning rate of the next step; the U-Net's where it is trained."""
        return self._peaks[0] * self._factor()

    def update(self, loss: float) -> float:
        """Clip the gradients, take one step, and return the gradients' norm before clipping.

        A `loss` or a gradient that is not finite is `Diverged`, and no step is taken.
        """
        limit = self.tuning.max_gradient_norm or float("inf")
        norm: Tensor = nn.utils.clip_grad_norm_(self._parameters, limit)
        if not (math.isfinite(loss) and torch.isfinite(norm)):
            raise Diverged("train.diverged", adapter=self.name, step=self.step + 1)
        factor = self._factor()
        for group, peak in zip(self._optimizer.param_groups, self._peaks, strict=True):
            group["lr"] = peak * factor
        self._optimizer.step()
        self._optimizer.zero_grad()
        self.step += 1
        return norm.item()

    def fail(self, error: Diverged) -> Warned:
        """Leave the run because of an error; return it as what others in the run are told."""
        self.failure = error
        self._optimizer.zero_grad()
        return Warned(code=error.code, details=error.details)

    def _factor(self) -> float:
        schedule = SCHEDULES[self.tuning.schedule]
        return schedule(self.step, self.tuning.steps, self.tuning.warmup)
