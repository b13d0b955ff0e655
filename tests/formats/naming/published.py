"""The networks of published models, built from their configurations without a single weight.

The model libraries are imported late: conftest reads this file before it has set the process up.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from loraloom.adapters.site import Site, canonical_path
from loraloom.playground.packaged import base_folder

if TYPE_CHECKING:
    from torch import nn

# From `unet/config.json` of the repositories runwayml/stable-diffusion-v1-5,
# stabilityai/stable-diffusion-2-1, stable-diffusion-xl-base-1.0 and -refiner-1.0.
SD1_UNET = {"cross_attention_dim": 768}
SD2_UNET = {
    "attention_head_dim": (5, 10, 20, 20),
    "cross_attention_dim": 1024,
    "use_linear_projection": True,
}
SDXL_UNET = {
    "block_out_channels": (320, 640, 1280),
    "down_block_types": ("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
    "up_block_types": ("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"),
    "transformer_layers_per_block": (1, 2, 10),
    "attention_head_dim": (5, 10, 20),
    "cross_attention_dim": 2048,
    "use_linear_projection": True,
    "addition_embed_type": "text_time",
    "addition_time_embed_dim": 256,
    "projection_class_embeddings_input_dim": 2816,
}
REFINER_UNET = {
    "block_out_channels": (384, 768, 1536, 1536),
    "down_block_types": (
        "DownBlock2D",
        "CrossAttnDownBlock2D",
        "CrossAttnDownBlock2D",
        "DownBlock2D",
    ),
    "up_block_types": ("UpBlock2D", "CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"),
    "transformer_layers_per_block": 4,
    "attention_head_dim": (6, 12, 24, 24),
    "cross_attention_dim": 1280,
    "use_linear_projection": True,
    "addition_embed_type": "text_time",
    "addition_time_embed_dim": 256,
    "projection_class_embeddings_input_dim": 2560,
}
# From `transformer/config.json` of stabilityai/stable-diffusion-3-medium-diffusers,
# stable-diffusion-3.5-medium and black-forest-labs/FLUX.1-dev.
SD3_TRANSFORMER = {
    "sample_size": 128,
    "num_layers": 24,
    "num_attention_heads": 24,
    "attention_head_dim": 64,
    "joint_attention_dim": 4096,
    "caption_projection_dim": 1536,
    "pooled_projection_dim": 2048,
    "out_channels": 16,
    "pos_embed_max_size": 192,
}
SD35_TRANSFORMER = SD3_TRANSFORMER | {
    "pos_embed_max_size": 384,
    "dual_attention_layers": tuple(range(13)),
    "qk_norm": "rms_norm",
}
FLUX_TRANSFORMER = {
    "in_channels": 64,
    "num_layers": 19,
    "num_single_layers": 38,
    "attention_head_dim": 128,
    "num_attention_heads": 24,
    "joint_attention_dim": 4096,
    "pooled_projection_dim": 768,
    "guidance_embeds": True,
}
# OpenAI's ViT-L/14, and OpenCLIP's ViT-H/14 (whose last layer Stable Diffusion 2 leaves out) and
# ViT-bigG/14: hidden size, size within the perceptron, layers, heads.
CLIP_L = (768, 3072, 12, 12)
CLIP_H = (1024, 4096, 23, 16)
CLIP_G = (1280, 5120, 32, 20)
# From `config.json` of google/t5-v1_1-xxl.
T5_XXL = {
    "vocab_size": 32128,
    "d_model": 4096,
    "d_kv": 64,
    "d_ff": 10240,
    "num_layers": 24,
    "num_heads": 64,
    "feed_forward_proj": "gated-gelu",
}
# From `vae/config.json` of the same repositories.
SD_VAE = {
    "down_block_types": ("DownEncoderBlock2D",) * 4,
    "up_block_types": ("UpDecoderBlock2D",) * 4,
    "block_out_channels": (128, 256, 512, 512),
    "layers_per_block": 2,
}
FLUX_VAE = SD_VAE | {"latent_channels": 16, "use_quant_conv": False, "use_post_quant_conv": False}


def unet(**config: Any) -> nn.Module:
    from diffusers import UNet2DConditionModel

    return UNet2DConditionModel(**config)


def vae(**config: Any) -> nn.Module:
    from diffusers import AutoencoderKL

    return AutoencoderKL(**config)


def sd3(**config: Any) -> nn.Module:
    from diffusers import SD3Transformer2DModel

    return SD3Transformer2DModel(**config)


def flux(**config: Any) -> nn.Module:
    from diffusers import FluxTransformer2DModel

    return FluxTransformer2DModel(**config)


def clip(sizes: tuple[int, int, int, int], *, projects: bool = False) -> nn.Module:
    from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection

    hidden, intermediate, layers, heads = sizes
    config = CLIPTextConfig(
        hidden_size=hidden,
        intermediate_size=intermediate,
        num_hidden_layers=layers,
        num_attention_heads=heads,
        projection_dim=hidden,
    )
    return (CLIPTextModelWithProjection if projects else CLIPTextModel)(config)


def t5(**changes: Any) -> nn.Module:
    from transformers import T5Config, T5EncoderModel

    return T5EncoderModel(T5Config(**T5_XXL | changes))


def playground(part: str, build: Callable[..., nn.Module]) -> nn.Module:
    config = json.loads(Path(base_folder() / part / "config.json").read_text(encoding="utf-8"))
    return build(**{key: value for key, value in config.items() if not key.startswith("_")})


def playground_clip() -> nn.Module:
    from transformers import CLIPTextConfig, CLIPTextModel

    return CLIPTextModel(CLIPTextConfig.from_pretrained(base_folder() / "text_encoder"))


BUILDERS: Mapping[tuple[str, str], Callable[[], nn.Module]] = {
    ("sd1", "unet"): lambda: unet(**SD1_UNET),
    ("sd1", "text_encoder"): lambda: clip(CLIP_L),
    ("sd1", "vae"): lambda: vae(**SD_VAE),
    ("sd2", "unet"): lambda: unet(**SD2_UNET),
    ("sd2", "text_encoder"): lambda: clip(CLIP_H),
    ("sdxl", "unet"): lambda: unet(**SDXL_UNET),
    ("sdxl", "text_encoder"): lambda: clip(CLIP_L),
    ("sdxl", "text_encoder_2"): lambda: clip(CLIP_G, projects=True),
    ("refiner", "unet"): lambda: unet(**REFINER_UNET),
    ("sd3", "transformer"): lambda: sd3(**SD3_TRANSFORMER),
    ("sd3", "text_encoder"): lambda: clip(CLIP_L, projects=True),
    ("sd3", "text_encoder_2"): lambda: clip(CLIP_G, projects=True),
    ("sd3", "text_encoder_3"): t5,
    ("sd3.5", "transformer"): lambda: sd3(**SD35_TRANSFORMER),
    ("flux", "transformer"): lambda: flux(**FLUX_TRANSFORMER),
    ("flux", "text_encoder"): lambda: clip(CLIP_L),
    ("flux", "text_encoder_2"): t5,
    ("flux", "vae"): lambda: vae(**FLUX_VAE),
    ("playground", "unet"): lambda: playground("unet", unet),
    ("playground", "text_encoder"): playground_clip,
    ("playground", "vae"): lambda: playground("vae", vae),
}

FAMILY = {"refiner": "sdxl", "sd3.5": "sd3", "playground": "sd1"}
"""Models whose family has another name than they."""


@cache
def network(model: str, part: str) -> nn.Module:
    """Return a network whose tensors have shapes and no numbers."""
    with torch.device("meta"):
        return BUILDERS[model, part]()


@cache
def weights(model: str, part: str) -> Mapping[Site, tuple[int, ...]]:
    """Return the shape of every tensor that a network is saved with, by our names."""
    return shapes(part, network(model, part))


def shapes(part: str, module: nn.Module) -> Mapping[Site, tuple[int, ...]]:
    """Return the shape of every tensor that a network is saved with, each once."""
    seen: set[int] = set()
    found: dict[Site, tuple[int, ...]] = {}
    for name, tensor in module.state_dict(keep_vars=True).items():
        if id(tensor) not in seen and "position_ids" not in name:
            found[Site(part, canonical_path(part, name))] = tuple(tensor.shape)
        seen.add(id(tensor))
    return found
