"""The playground's autoencoder: 128x128 pictures of every style to 16x16x4 latents and back."""

# The model classes of diffusers are only partly typed.
# pyright: reportUnknownVariableType=false, reportUnknownArgumentType=false
# pyright: reportPrivateImportUsage=false

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from diffusers import AutoencoderKL
from jaxtyping import Float
from numpy.typing import NDArray
from torch import Tensor, nn

from loraloom.jobs.building.course import Course
from loraloom.jobs.building.curve import Curve

_CROP_STEPS, _WHOLE_STEPS, _DECODER_STEPS = 4800, 200, 2000
_CROP, _CROP_BATCH, _WHOLE_BATCH = 64, 16, 6
_KL_WEIGHT = 1e-4
_EDGE_WEIGHT = 0.5


def new_autoencoder(seed: int) -> Any:
    """Return the untrained network: 2.6 million parameters, 8x down, 4 latent channels."""
    torch.manual_seed(seed)
    build: Any = AutoencoderKL
    network = build(
        down_block_types=("DownEncoderBlock2D",) * 4,
        up_block_types=("UpDecoderBlock2D",) * 4,
        block_out_channels=(16, 32, 64, 128),
        layers_per_block=1,
        latent_channels=4,
        norm_num_groups=8,
        sample_size=128,
        mid_block_add_attention=False,
    )
    return network.to(memory_format=torch.channels_last)


def autoencoder_course(
    network: Any, pictures: NDArray[np.uint8], folder: Path, seed: int
) -> Course:
    """Train on 64-pixel crops first, then on whole pictures."""
    steps = _CROP_STEPS + _WHOLE_STEPS
    return Course(
        name="autoencoder",
        network=network,
        loss=_loss(network, pictures),
        steps=steps,
        # The curve is cut short: the base needs only the encoder, the decoder is refined after it.
        learning_rate=Curve(peak=2e-3, floor=5e-5, warmup=200, steps=6400),
        folder=folder,
        seed=seed,
        averaging=0.998,
        weight_decay=0.0,
    )


def decoder_of(network: Any) -> nn.ModuleDict:
    """Return the layers that turn latents into pictures."""
    return nn.ModuleDict({"decoder": network.decoder, "post_quant_conv": network.post_quant_conv})


def decoder_course(network: Any, pictures: NDArray[np.uint8], folder: Path, seed: int) -> Course:
    """Train the decoder on, on whole pictures; the encoder and so all latents stay as they are."""
    network.requires_grad_(False)
    decoder = decoder_of(network).requires_grad_(True)
    return Course(
        name="decoder",
        network=decoder,
        loss=_decoder_loss(network, pictures),
        steps=_DECODER_STEPS,
        learning_rate=Curve(peak=4e-4, floor=2e-5, warmup=100, steps=_DECODER_STEPS),
        folder=folder,
        seed=seed,
        averaging=0.998,
        weight_decay=0.0,
    )


def to_unit(pictures: NDArray[np.uint8]) -> Float[Tensor, "batch 3 height width"]:
    """Return 8-bit pictures as pixels in [-1, 1]."""
    return torch.from_numpy(pictures).permute(0, 3, 1, 2).float() / 127.5 - 1


def _loss(network: Any, pictures: NDArray[np.uint8]) -> Callable[[int, torch.Generator], Tensor]:
    def loss(step: int, generator: torch.Generator) -> Tensor:
        crops = step < _CROP_STEPS
        batch = _CROP_BATCH if crops else _WHOLE_BATCH
        numbers = torch.randint(len(pictures), (batch,), generator=generator).numpy()
        chosen = pictures[numbers]
        if crops:
            # Multiples of 8 keep the textures in step with the latent grid.
            places = torch.randint(9, (batch, 2), generator=generator).numpy() * 8
            chosen = np.stack(
                [
                    picture[y : y + _CROP, x : x + _CROP]
                    for picture, (y, x) in zip(chosen, places, strict=True)
                ]
            )
        pixels = to_unit(chosen).contiguous(memory_format=torch.channels_last)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            posterior = network.encode(pixels).latent_dist
            draw = torch.randn(posterior.mean.shape, generator=generator)
            restored = network.decode(posterior.mean + posterior.std * draw).sample
        restored = restored.float()
        kl = 0.5 * (posterior.mean.square() + posterior.var - 1 - posterior.logvar).float().mean()
        return _difference(restored, pixels) + _KL_WEIGHT * kl

    return loss


def _decoder_loss(
    network: Any, pictures: NDArray[np.uint8]
) -> Callable[[int, torch.Generator], Tensor]:
    def loss(step: int, generator: torch.Generator) -> Tensor:
        numbers = torch.randint(len(pictures), (_WHOLE_BATCH,), generator=generator)
        pixels = to_unit(pictures[numbers.numpy()]).contiguous(memory_format=torch.channels_last)
        with torch.no_grad():
            latents = network.encode(pixels).latent_dist.mean
        return _difference(network.decode(latents).sample, pixels)

    return loss


def _difference(restored: Tensor, pixels: Tensor) -> Tensor:
    """Absolute and squared error, and the absolute error of the pixel differences (edges)."""
    across = F.l1_loss(restored.diff(dim=3), pixels.diff(dim=3))
    down = F.l1_loss(restored.diff(dim=2), pixels.diff(dim=2))
    plain = F.l1_loss(restored, pixels) + F.mse_loss(restored, pixels)
    return plain + _EDGE_WEIGHT * (across + down)
