"""Which weights get an adapter: as many, and the same, as kohya's trainer picks."""

from __future__ import annotations

import pytest
import torch

from loraloom.adapters import Card
from loraloom.training.targets import Ranks, fresh_adapter, target_layers

from ..sd15 import sd15_text_encoder, sd15_unet

RANKS = Ranks(linear=4, linear_alpha=2.0)


def test_counts_of_stable_diffusion_15() -> None:
    # kohya's trainer reports "create LoRA for U-Net: 192 modules" and "for Text Encoder: 72".
    unet = list(target_layers("unet", sd15_unet(), RANKS))
    text = list(target_layers("text_encoder", sd15_text_encoder(), RANKS))
    assert (len(unet), len(text)) == (192, 72)
    assert len({site for site, *_ in unet}) == 192
    assert all(str(site).startswith("text_encoder.text_model.encoder.") for site, *_ in text)


def test_convolutions_join_when_a_rank_is_given() -> None:
    ranks = Ranks(linear=4, linear_alpha=2.0, convolution=2, convolution_alpha=1.0)
    found = {
        str(site): (rank, alpha)
        for site, _, rank, alpha in target_layers("unet", sd15_unet(), ranks)
    }
    # 22 residual blocks: 44 3x3 convolutions, 22 time projections, 14 shortcuts;
    # 3 samplers down and 3 up; none of conv_in, conv_out and the time embedding.
    assert len(found) == 192 + 44 + 22 + 14 + 6
    assert found["unet.down_blocks.0.resnets.0.conv1.weight"] == (2, 1.0)
    assert found["unet.down_blocks.0.resnets.0.time_emb_proj.weight"] == (4, 2.0)
    assert found["unet.down_blocks.1.resnets.0.conv_shortcut.weight"] == (4, 2.0)
    assert found["unet.up_blocks.0.upsamplers.0.conv.weight"] == (2, 1.0)
    assert "unet.conv_in.weight" not in found


def test_fresh_factors_depend_on_the_generator_alone() -> None:
    network = torch.nn.Module()
    network.block = type("Transformer2DModel", (torch.nn.Module,), {})()
    network.block.proj = torch.nn.Linear(6, 8)
    made = [
        fresh_adapter(
            {"unet": network}, RANKS, Card(family="sd1"), torch.Generator().manual_seed(seed)
        )
        for seed in (1, 1, 2)
    ]
    downs = [next(iter(adapter.deltas.values())).parts()["down"] for adapter in made]
    assert torch.equal(downs[0], downs[1])
    assert not torch.equal(downs[0], downs[2])
    assert downs[0].abs().max() <= 6**-0.5


def test_no_target_is_an_error() -> None:
    from loraloom.errors import UsageError

    with pytest.raises(UsageError, match="unet"):
        fresh_adapter({"unet": torch.nn.Linear(2, 2)}, RANKS, Card(family="sd1"), torch.Generator())
