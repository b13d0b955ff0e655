"""What a picture is asked to be, and how it is to be sampled."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import final

from loraloom.errors import UsageError


@final
@dataclass(frozen=True, kw_only=True)
class ImageRequest:
    """One picture: prompt without tags, seed, and the strength of each adapter by network.

    `strengths` maps an adapter's name to part names (`unet`, `text_encoder`) and their strengths;
    what is left out is 0. Adapters act on the negative prompt too.
    """

    prompt: str
    negative_prompt: str = ""
    seed: int
    strengths: Mapping[str, Mapping[str, float]] = field(
        default_factory=dict[str, Mapping[str, float]]
    )


@final
@dataclass(frozen=True, kw_only=True)
class SamplingSettings:
    """What all pictures of a batch share; sizes in pixels, names as web UIs write them.

    At a `cfg_scale` of 1 or less the negative prompt is not used. `clip_skip` counts the text
    encoder's layers from the end, 1 being the last.
    """

    sampler: str = "DPM++ 2M"
    schedule: str = "Automatic"
    steps: int = 20
    cfg_scale: float = 7.0
    width: int
    height: int
    clip_skip: int = 1

    def __post_init__(self) -> None:
        if self.steps < 1:
            raise UsageError("sampling.steps", steps=self.steps)
