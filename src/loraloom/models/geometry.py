"""The sizes of a base that its configurations tell before any weight is loaded."""

from __future__ import annotations

from dataclasses import dataclass
from typing import final

from loraloom.errors import UsageError


@final
@dataclass(frozen=True, kw_only=True)
class Geometry:
    """What can be asked of a base: sizes in pixels, layers to read, timesteps.

    Latents have `channels` and are `latent_factor` times smaller than pictures; width and height
    must be multiples of `resolution_step`; `resolution` is the side of the square pictures that
    the base was made for.
    """

    channels: int
    latent_factor: int
    resolution: int
    resolution_step: int
    text_layers: int
    timesteps: int

    def latent_shape(self, width: int, height: int) -> tuple[int, int, int]:
        """Return (channels, height, width) of a picture's latents; wrong sizes are `UsageError`."""
        step = self.resolution_step
        if min(width, height) < step or width % step or height % step:
            raise UsageError("model.size", width=width, height=height, step=step)
        return self.channels, height // self.latent_factor, width // self.latent_factor

    def check_clip_skip(self, clip_skip: int) -> None:
        """Raise UsageError for a layer that the text encoder does not have; 1 is the last."""
        if not 1 <= clip_skip <= self.text_layers:
            raise UsageError("model.clip_skip", value=clip_skip, most=self.text_layers)

    def check_steps(self, steps: int) -> None:
        """Raise UsageError for more sampling steps than there are timesteps to choose from."""
        most = self.timesteps - 1
        if steps > most:
            raise UsageError("sampling.too_many_steps", steps=steps, most=most)
