"""The playground's base: a small Stable Diffusion 1.x that has only ever seen plain pictures."""

# The model classes of diffusers and transformers are only partly typed.
# pyright: reportUnknownVariableType=false, reportUnknownArgumentType=false
# pyright: reportPrivateImportUsage=false

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from diffusers import UNet2DConditionModel
from jaxtyping import Float, Int
from numpy.typing import NDArray
from torch import Tensor, nn
from transformers import CLIPTextConfig, CLIPTextModel

from loraloom.jobs.building.autoencoder import to_unit
from loraloom.jobs.building.course import Course
from loraloom.jobs.building.curve import Curve
from loraloom.models.conditioning import Conditioning
from loraloom.models.sd1.stable_diffusion import StableDiffusion

STEPS = 2200
_BATCH = 64
_CAPTION_DROPOUT = 0.1
_MIN_SNR = 5.0

SCHEDULER = {
    "_class_name": "DDPMScheduler",
    "_diffusers_version": "0.35.0",
    "beta_end": 0.012,
    "beta_schedule": "scaled_linear",
    "beta_start": 0.00085,
    "clip_sample": False,
    "num_train_timesteps": 1000,
    "prediction_type": "epsilon",
    "set_alpha_to_one": False,
    "steps_offset": 1,
    "trained_betas": None,
    "variance_type": "fixed_small",
}


def new_base(autoencoder: Any, tokenizer: Any, seed: int) -> StableDiffusion:
    """Return the untrained base around a trained autoencoder."""
    torch.manual_seed(seed)
    unet: Any = UNet2DConditionModel(
        sample_size=16,
        in_channels=4,
        out_channels=4,
        layers_per_block=1,
        block_out_channels=(48, 96, 144),
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"),
        cross_attention_dim=128,
        attention_head_dim=4,
        norm_num_groups=16,
    )
    text_encoder = CLIPTextModel(
        CLIPTextConfig(
            vocab_size=len(tokenizer),
            hidden_size=128,
            intermediate_size=384,
            num_hidden_layers=2,
            num_attention_heads=4,
            max_position_embeddings=77,
            projection_dim=128,
            bos_token_id=tokenizer.bos_token_id,
            eos_token_id=tokenizer.eos_token_id,
            pad_token_id=tokenizer.pad_token_id,
        )
    )
    return StableDiffusion(
        # A quarter faster on processors.
        unet=unet.to(memory_format=torch.channels_last),
        vae=autoencoder,
        text_encoder=text_encoder,
        tokenizer=tokenizer,
        scheduler_config=SCHEDULER,
        title="playground",
        weight_files=(),
    )


def encode_pictures(
    autoencoder: Any, pictures: NDArray[np.uint8]
) -> Float[Tensor, "pictures 4 16 16"]:
    """Return the mean latents of all pictures, not yet scaled."""
    chunks: list[Tensor] = []
    with torch.inference_mode():
        for start in range(0, len(pictures), 50):
            posterior: Any = autoencoder.encode(to_unit(pictures[start : start + 50])).latent_dist
            chunks.append(posterior.mean)
    return torch.cat(chunks).contiguous()


def base_course(
    model: StableDiffusion,
    latents: Float[Tensor, "pictures 4 16 16"],
    captions: Sequence[Sequence[str]],
    folder: Path,
    seed: int,
) -> Course:
    """Train U-Net and text encoder together on scaled latents; every picture has some captions."""
    tokens = torch.stack(
        [
            torch.tensor(
                model.tokenizer(
                    list(choices), padding="max_length", max_length=77, truncation=True
                )["input_ids"]
            )
            for choices in captions
        ]
    )
    empty = torch.tensor(model.tokenizer("", padding="max_length", max_length=77)["input_ids"])
    networks = nn.ModuleDict({"unet": model.unet, "text_encoder": model.text_encoder})
    networks.requires_grad_(True).train()
    return Course(
        name="base",
        network=networks,
        loss=_loss(model, latents, tokens, empty),
        steps=STEPS,
        learning_rate=Curve(peak=1.5e-3, floor=5e-5, warmup=200, steps=STEPS),
        folder=folder,
        seed=seed,
        averaging=0.999,
    )


def _loss(
    model: StableDiffusion,
    latents: Float[Tensor, "pictures 4 16 16"],
    tokens: Int[Tensor, "pictures choices 77"],
    empty: Int[Tensor, " 77"],
) -> Callable[[int, torch.Generator], Tensor]:
    noising = model.noising

    def loss(step: int, generator: torch.Generator) -> Tensor:
        numbers = torch.randint(len(latents), (_BATCH,), generator=generator)
        choices = torch.randint(tokens.shape[1], (_BATCH,), generator=generator)
        dropped = torch.rand(_BATCH, generator=generator) < _CAPTION_DROPOUT
        ids = torch.where(dropped[:, None], empty, tokens[numbers, choices])
        clean = latents[numbers]
        t = torch.randint(noising.timesteps, (_BATCH,), generator=generator)
        eps = torch.randn(clean.shape, generator=generator)
        states = model.text_encoder(ids).last_hidden_state
        predicted = model.predict(noising.noise(clean, eps, t), t, Conditioning(states))
        # Min-SNR weighting for epsilon prediction, arXiv 2303.09556, section 3.4.
        snr = noising.snr(t)
        weight = snr.clamp(max=_MIN_SNR) / snr
        error = (predicted - eps).square().mean(dim=(1, 2, 3))
        return (weight * error).mean()

    return loss
