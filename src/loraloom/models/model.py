"""What a model family must offer so that training and generation can be written once."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import ClassVar

import torch
from jaxtyping import Float, Real
from torch import Tensor, nn

from loraloom.models.conditioning import Conditioning
from loraloom.models.geometry import Geometry
from loraloom.models.noising import Noising

Pixels = Float[Tensor, "batch 3 height width"]
Latents = Float[Tensor, "batch channels h w"]


class AbstractModel(ABC):
    """The networks of one family. Pixels lie in [-1, 1], latents are scaled to unit variance."""

    family: ClassVar[str]

    @property
    @abstractmethod
    def name(self) -> str:
        """The base's name, for people and file headers."""

    @property
    @abstractmethod
    def networks(self) -> Mapping[str, nn.Module]:
        """The networks that can wear adapters, by part name."""

    @property
    @abstractmethod
    def noising(self) -> Noising:
        """The forward process that the model was trained with."""

    @property
    @abstractmethod
    def geometry(self) -> Geometry:
        """The sizes that can be asked of the model."""

    @property
    def resolution(self) -> int:
        """The side of the square pictures that the model was made for, in pixels."""
        return self.geometry.resolution

    @property
    def resolution_step(self) -> int:
        """Width and height must be multiples of this, in pixels."""
        return self.geometry.resolution_step

    @property
    @abstractmethod
    def device(self) -> torch.device:
        """Where the networks are."""

    @property
    @abstractmethod
    def dtype(self) -> torch.dtype:
        """The networks' floating-point type."""

    @abstractmethod
    def base_hash(self) -> str:
        """Return a hash of the base's weights, the same for the same weights wherever they lie."""

    def latent_shape(self, width: int, height: int) -> tuple[int, int, int]:
        """Return (channels, height, width) of the latents of a picture; wrong sizes are errors."""
        return self.geometry.latent_shape(width, height)

    @abstractmethod
    def encode_image(self, pixels: Pixels) -> tuple[Latents, Latents]:
        """Return mean and standard deviation of the latents."""

    @abstractmethod
    def image_encoder_hash(self) -> str:
        """Return a hash of all that the latents of a picture depend on but rounding."""

    @abstractmethod
    def decode(self, latents: Latents) -> Pixels:
        """Return the pictures of latents, clamped to [-1, 1]."""

    @abstractmethod
    def encode_text(self, prompts: Sequence[str], clip_skip: int = 1) -> Conditioning:
        """Return what conditions the network, one row per prompt.

        `clip_skip` n takes the n-th layer from the end, as the web UI counts: 1 is the last.
        """

    @abstractmethod
    def encode_weighted_text(
        self, prompts: Sequence[Sequence[tuple[str, float]]], clip_skip: int = 1
    ) -> Conditioning:
        """Return the states of prompts of weighted pieces, each token's times its piece's weight.

        As kohya's trainer: pieces are tokenized each on its own, and no mean is restored.
        """

    @abstractmethod
    def count_tokens(self, prompt: str) -> int:
        """Return the tokens of a prompt without the start and end marks."""

    @property
    @abstractmethod
    def token_limit(self) -> int:
        """How many tokens of a prompt the text encoder sees; the rest is cut."""

    @abstractmethod
    def predict(
        self, noisy: Latents, t: Real[Tensor, " batch"], conditioning: Conditioning
    ) -> Latents:
        """Return the network's prediction at timesteps `t`, which need not be whole."""
