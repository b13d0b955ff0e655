"""The text states of one step, encoded for all adapters together."""

from __future__ import annotations

from collections.abc import Sequence
from typing import final

import torch
from torch import Tensor

from loraloom.adapters.attachment import Attachment
from loraloom.models.conditioning import Conditioning
from loraloom.models.model import AbstractModel
from loraloom.training.rows import divide_rows
from loraloom.training.text_reading import TextReading
from loraloom.training.trainee import Trainee


@final
class PackedTexts:
    """The text states of each adapter's captions, by its place among those that take the step.

    Captions of adapters that are worn by the text encoder and are read alike go through it as one
    batch, each row wearing its own adapter. Several losses may be formed from the
    states; `backward` then takes their gradients through the text encoder at once.
    """

    def __init__(
        self,
        model: AbstractModel,
        attachment: Attachment,
        trainees: Sequence[Trainee],
        captions: Sequence[Sequence[str]],
    ) -> None:
        self.states: dict[int, Conditioning] = {}
        self._encoded: list[tuple[Tensor, Tensor]] = []
        attachment.set_strengths({})
        alike: dict[TextReading, list[int]] = {}
        for place, trainee in enumerate(trainees):
            if trainee.text_states is None:
                alike.setdefault(trainee.tuning.reading, []).append(place)
            else:
                self.states[place] = trainee.text_states(captions[place])
        for reading, places in alike.items():
            sizes = [len(captions[place]) for place in places]
            divide_rows(attachment, [trainees[place].name for place in places], sizes)
            prompts = [prompt for place in places for prompt in captions[place]]
            encoded = reading.encode(model, prompts).states
            leaves = encoded.detach().requires_grad_()
            self._encoded.append((encoded, leaves))
            for place, own in zip(places, torch.split(leaves, sizes), strict=True):
                self.states[place] = Conditioning(own)

    def backward(self) -> None:
        """Add what the losses found to the gradients of the adapters in the text encoder."""
        for encoded, leaves in self._encoded:
            encoded.backward(leaves.grad)
