"""A base of Stable Diffusion 1.x's architecture that is small enough to run in every test.

The model libraries are imported late: conftest reads this file before it has set the process up.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import torch

if TYPE_CHECKING:
    from loraloom.adapters.adapter import Adapter
    from loraloom.models.sd1.stable_diffusion import StableDiffusion

SENTENCES = (
    "a red house on a green hill under a blue sky",
    "a black cat sits beside a white boat",
    "anistyle wcstyle cartoonstyle, a picture of a tree in the garden",
)

# The scheduler configuration that Stable Diffusion 1.5 is published with.
SCHEDULER = {
    "_class_name": "PNDMScheduler",
    "_diffusers_version": "0.6.0",
    "beta_end": 0.012,
    "beta_schedule": "scaled_linear",
    "beta_start": 0.00085,
    "clip_sample": False,
    "num_train_timesteps": 1000,
    "set_alpha_to_one": False,
    "skip_prk_steps": True,
    "steps_offset": 1,
    "trained_betas": None,
}

# diffusers knows kohya's text encoder keys by its output projection.
_ADAPTED = ("attn2.to_v", "attn2.to_out", "ff.net.2", "self_attn.out_proj", "mlp.fc2")


def build_tiny() -> StableDiffusion:
    """Return an untrained base of 16x16 pixels, its pictures strong in contrast."""
    from diffusers import AutoencoderKL, UNet2DConditionModel
    from transformers import CLIPTextConfig, CLIPTextModel

    from loraloom.jobs.building.tokenizer import learn_tokenizer
    from loraloom.models.sd1.stable_diffusion import StableDiffusion

    torch.manual_seed(0)
    tokenizer = learn_tokenizer(SENTENCES, 40)
    unet = UNet2DConditionModel(
        sample_size=8,
        in_channels=4,
        out_channels=4,
        layers_per_block=1,
        block_out_channels=(32, 64),
        down_block_types=("CrossAttnDownBlock2D", "DownBlock2D"),
        up_block_types=("UpBlock2D", "CrossAttnUpBlock2D"),
        cross_attention_dim=32,
        attention_head_dim=4,
        norm_num_groups=8,
    )
    vae = AutoencoderKL(
        in_channels=3,
        out_channels=3,
        latent_channels=4,
        down_block_types=("DownEncoderBlock2D",) * 2,
        up_block_types=("UpDecoderBlock2D",) * 2,
        block_out_channels=(8, 16),
        layers_per_block=1,
        norm_num_groups=4,
        sample_size=16,
    )
    text_encoder = CLIPTextModel(
        CLIPTextConfig(
            vocab_size=len(tokenizer),
            hidden_size=32,
            intermediate_size=64,
            num_hidden_layers=2,
            num_attention_heads=4,
            max_position_embeddings=77,
            projection_dim=32,
            bos_token_id=tokenizer.bos_token_id,
            eos_token_id=tokenizer.eos_token_id,
            pad_token_id=tokenizer.pad_token_id,
        )
    )
    return StableDiffusion(
        unet=unet,
        vae=vae,
        text_encoder=text_encoder,
        tokenizer=tokenizer,
        scheduler_config=SCHEDULER,
        title="tiny",
        weight_files=(),
    )


def random_adapter(name: str, seed: int) -> Adapter:
    """Return a LoRA of rank 4 on some layers of both networks, strong enough to be seen."""
    from torch import nn

    from loraloom.adapters.adapter import Adapter, Card
    from loraloom.adapters.lora import Lora
    from loraloom.adapters.site import Site, canonical_path

    generator = torch.Generator().manual_seed(seed)
    deltas = {}
    for part, network in build_tiny().networks.items():
        for path, layer in network.named_modules():
            if isinstance(layer, nn.Linear) and any(word in path for word in _ADAPTED):
                down = torch.randn(4, layer.in_features, generator=generator)
                up = torch.randn(layer.out_features, 4, generator=generator)
                site = Site(part, canonical_path(part, f"{path}.weight"))
                deltas[site] = Lora(down * 0.3, up * 0.3, alpha=2.0)
    return Adapter(deltas=deltas, card=Card(family="sd1", name=name))


@pytest.fixture(scope="session")
def tiny_base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the tiny base as a diffusers folder; treat it as read-only."""
    from loraloom.models.sd1.save import save_folder

    folder = tmp_path_factory.mktemp("bases") / "tiny"
    save_folder(build_tiny(), folder, torch.float32)
    return folder
