"""The networks of Stable Diffusion 1.x: a U-Net conditioned on CLIP text states, and a VAE."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from types import MappingProxyType
from typing import Any, ClassVar, final

import torch
from jaxtyping import Float, Int, Real
from torch import Tensor, nn

from loraloom.errors import ModelError
from loraloom.models.conditioning import Conditioning
from loraloom.models.geometry import Geometry
from loraloom.models.model import AbstractModel, Latents, Pixels
from loraloom.models.noising import Noising
from loraloom.models.sd1.parts import geometry_of
from loraloom.models.weighted_tokens import weighted_tokens


@final
@dataclass(frozen=True, kw_only=True, eq=False)
class StableDiffusion(AbstractModel):
    """One Stable Diffusion 1.x base, frozen: no parameter of it ever asks for a gradient."""

    family: ClassVar[str] = "sd1"

    # Untyped, for what diffusers and transformers annotate is not always what they do.
    unet: Any
    vae: Any
    text_encoder: Any
    tokenizer: Any
    scheduler_config: Mapping[str, Any]
    title: str
    weight_files: tuple[Path, ...]

    def __post_init__(self) -> None:
        for network in (self.unet, self.vae, self.text_encoder):
            network.eval().requires_grad_(False)

    @property
    def name(self) -> str:
        return self.title

    @property
    def networks(self) -> Mapping[str, nn.Module]:
        return MappingProxyType({"unet": self.unet, "text_encoder": self.text_encoder})

    @property
    def noising(self) -> Noising:
        return self._noising

    @cached_property
    def _noising(self) -> Noising:
        return Noising.from_config(self.scheduler_config)

    @property
    def geometry(self) -> Geometry:
        return self._geometry

    @cached_property
    def _geometry(self) -> Geometry:
        return geometry_of(
            unet=self.unet.config,
            vae=self.vae.config,
            text_encoder=self.text_encoder.config.to_dict(),
            timesteps=self.noising.timesteps,
            where=self.title,
        )

    @property
    def device(self) -> torch.device:
        return self.unet.device

    @property
    def dtype(self) -> torch.dtype:
        return self.unet.dtype

    def base_hash(self) -> str:
        digest = hashlib.sha256()
        for path in self.weight_files:
            with path.open("rb") as file:
                while chunk := file.read(1 << 20):
                    digest.update(chunk)
        return digest.hexdigest()

    def encode_image(self, pixels: Pixels) -> tuple[Latents, Latents]:
        posterior = self.vae.encode(pixels.to(self.vae.device, self.vae.dtype)).latent_dist
        scale: float = self.vae.config["scaling_factor"]
        return posterior.mean * scale, posterior.std * scale

    def image_encoder_hash(self) -> str:
        digest = hashlib.sha256(str(self.vae.config["scaling_factor"]).encode())
        weights: Mapping[str, Tensor] = self.vae.state_dict()
        for name in sorted(weights):
            if name.startswith(("encoder.", "quant_conv.")):
                tensor = weights[name].cpu().contiguous()
                digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
                digest.update(tensor.reshape(-1).view(torch.uint8).numpy().data)
        return digest.hexdigest()

    def decode(self, latents: Latents) -> Pixels:
        scale: float = self.vae.config["scaling_factor"]
        pixels: Tensor = self.vae.decode(latents.to(self.vae.dtype) / scale).sample
        return pixels.clamp(-1, 1)

    def encode_text(self, prompts: Sequence[str], clip_skip: int = 1) -> Conditioning:
        tokens = self.tokenizer(
            list(prompts),
            padding="max_length",
            max_length=self.tokenizer.model_max_length,
            truncation=True,
            return_tensors="pt",
        )
        return Conditioning(self._states(tokens["input_ids"], clip_skip))

    def encode_weighted_text(
        self, prompts: Sequence[Sequence[tuple[str, float]]], clip_skip: int = 1
    ) -> Conditioning:
        tokens = [weighted_tokens(self.tokenizer, pieces) for pieces in prompts]
        states = self._states(torch.tensor([ids for ids, _ in tokens]), clip_skip)
        weights = torch.tensor([weights for _, weights in tokens]).to(states)
        return Conditioning(states * weights[:, :, None])

    def _states(
        self, ids: Int[Tensor, "batch tokens"], clip_skip: int
    ) -> Float[Tensor, "batch tokens width"]:
        ids = ids.to(self.text_encoder.device)
        if clip_skip == 1:
            return self.text_encoder(ids).last_hidden_state
        self.geometry.check_clip_skip(clip_skip)
        layers = self.text_encoder(ids, output_hidden_states=True).hidden_states
        # transformers 4 keeps the norm one level down.
        body = getattr(self.text_encoder, "text_model", self.text_encoder)
        return body.final_layer_norm(layers[-clip_skip])

    def count_tokens(self, prompt: str) -> int:
        ids: list[int] = self.tokenizer(prompt)["input_ids"]
        return len(ids) - 2

    @property
    def token_limit(self) -> int:
        return self.tokenizer.model_max_length - 2

    def predict(
        self, noisy: Latents, t: Real[Tensor, " batch"], conditioning: Conditioning
    ) -> Latents:
        prediction: Tensor = self.unet(noisy, t, encoder_hidden_states=conditioning.states).sample
        if prediction.shape != noisy.shape:
            raise ModelError("model.output", shape=tuple(prediction.shape))
        return prediction
