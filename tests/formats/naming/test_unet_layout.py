"""How a UNet's layers are counted: by latent-diffusion's rule, and told from names alone."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loraloom.adapters.site import Site
from loraloom.errors import ModelError
from loraloom.formats.naming.renaming import Spelling
from loraloom.formats.naming.rule import Evidence
from loraloom.formats.naming.table import FAMILIES
from loraloom.formats.naming.unet_evidence import configured_layout, derive_layout
from loraloom.formats.naming.unet_layout import (
    DOWN_ATTENTION,
    DOWN_RESNET,
    DOWNSAMPLER,
    MID_ATTENTION,
    MID_RESNET,
    UP_ATTENTION,
    UP_RESNET,
    UPSAMPLER,
    UNetLayout,
)

SD1 = UNetLayout(layers=2, attention_up=frozenset({1, 2, 3}))
SDXL = UNetLayout(layers=2, attention_up=frozenset({0, 1}))
ZONES = (
    DOWN_RESNET,
    DOWN_ATTENTION,
    DOWNSAMPLER,
    MID_RESNET,
    MID_ATTENTION,
    UP_RESNET,
    UP_ATTENTION,
    UPSAMPLER,
)


# From the published checkpoints: their names, and those of the same weights in diffusers' folders.
@pytest.mark.parametrize(
    ("layout", "zone", "theirs", "ours"),
    [
        (SD1, DOWN_ATTENTION, (1, 1), (0, 0)),
        (SD1, DOWN_ATTENTION, (4, 1), (1, 0)),
        (SD1, DOWN_RESNET, (11, 0), (3, 1)),
        (SD1, DOWNSAMPLER, (9, 0), (2,)),
        (SD1, UPSAMPLER, (2, 1), (0,)),
        (SD1, UP_ATTENTION, (3, 1), (1, 0)),
        (SD1, UPSAMPLER, (5, 2), (1,)),
        (SDXL, DOWN_ATTENTION, (4, 1), (1, 0)),
        (SDXL, UPSAMPLER, (2, 2), (0,)),
        (SDXL, UP_RESNET, (8, 0), (2, 2)),
        (SDXL, MID_RESNET, (2,), (1,)),
        (SDXL, MID_ATTENTION, (1,), (0,)),
    ],
)
def test_known_places(layout, zone, theirs, ours):
    assert layout.ours(zone, theirs) == ours
    assert layout.theirs(zone, ours) == theirs


LAYOUT = st.builds(UNetLayout, st.integers(1, 5), st.frozensets(st.integers(0, 5)))
NUMBERS = st.tuples(*(st.integers(0, 40) for _ in range(4)))


@given(LAYOUT, st.sampled_from(ZONES), NUMBERS)
def test_counting_is_one_to_one(layout, zone, numbers):
    theirs = numbers[:1] if zone == MID_RESNET else numbers[: 2 + (zone == DOWN_ATTENTION)]
    ours = layout.ours(zone, theirs)
    assert ours is None or layout.theirs(zone, ours) == theirs
    ours = numbers[: 1 if zone in (DOWNSAMPLER, UPSAMPLER, MID_RESNET) else 3]
    theirs = layout.theirs(zone, ours)
    assert theirs is None or layout.ours(zone, theirs) == ours


def test_a_configuration_tells_the_layout():
    blocks = ["UpBlock2D", "CrossAttnUpBlock2D"]
    config = {"layers_per_block": 3, "up_block_types": blocks}
    assert configured_layout(config, "here") == UNetLayout(3, frozenset({1}))


@pytest.mark.parametrize(
    "config",
    [
        {},
        {"layers_per_block": "2", "up_block_types": ["UpBlock2D"]},
        {"layers_per_block": 0, "up_block_types": ["UpBlock2D"]},
        {"layers_per_block": [1, 2], "up_block_types": ["UpBlock2D"] * 2},
        {"layers_per_block": 2, "up_block_types": ["ResnetUpsampleBlock2D"]},
        {"layers_per_block": 2, "up_block_types": [[]]},
        {"layers_per_block": 2, "up_block_types": "UpBlock2D"},
    ],
)
def test_a_configuration_that_ldm_cannot_count_is_an_error(config):
    with pytest.raises(ModelError, match=r"unet\.json"):
        configured_layout(config, "unet.json")


def _attentions(layers: int, down: tuple[int, ...], up: tuple[int, ...]) -> list[Site]:
    """Return one layer of each attention of a UNet with attention in these blocks."""
    places = [f"down_blocks.{b}.attentions.{layer}" for b in down for layer in range(layers)]
    places += [f"up_blocks.{b}.attentions.{layer}" for b in up for layer in range(layers + 1)]
    return [Site("unet", f"{place}.proj_in.weight") for place in places]


def _flat(sites: list[Site], layout: UNetLayout | None = None) -> list[str]:
    names = FAMILIES["sdxl"].names_for(sites, Spelling.FLAT, "test", layout)
    return [names.holder(site).name for site in sites]


def _read(flat: list[str], layout: UNetLayout | None = None) -> list[Site]:
    names = FAMILIES["sdxl"].names_in(flat, Spelling.FLAT, "a file", layout)
    return [names.meaning(name).site for name in flat]


def test_an_adapter_on_few_blocks_is_read_as_on_a_published_model():
    # B-LoRA trains these two alone, which could be all there is in a UNet of one layer.
    flat = ["lora_unet_output_blocks_0_1_proj_in", "lora_unet_output_blocks_1_1_proj_in"]
    sites = [Site("unet", f"up_blocks.0.attentions.{at}.proj_in.weight") for at in (0, 1)]
    assert _read(flat) == sites
    assert _flat(sites) == flat


@pytest.mark.parametrize(
    ("layers", "down", "up"),
    [(1, (1,), (0,)), (3, (1, 2), (0, 1)), (1, (1, 2), (0, 1)), (4, (0,), ())],
)
def test_all_attentions_of_another_model_tell_its_layout(layers, down, up):
    sites = _attentions(layers, down, up)
    flat = _flat(sites, UNetLayout(layers, frozenset(up)))
    assert _read(flat) == sites


def test_what_could_be_part_of_a_published_model_is_read_so_unless_the_layout_is_given():
    sites = _attentions(1, (0,), (1,))
    layout = UNetLayout(1, frozenset({1}))
    flat = _flat(sites, layout)
    assert _read(flat, layout) == sites
    assert _read(flat) != sites


def test_names_that_do_not_tell_are_an_error():
    # No published model has attention in entry 3; with one layer to a block, 8 would be a
    # downsampler; with more, both would be parts of blocks.
    flat = ["lora_unet_input_blocks_3_1_proj_in", "lora_unet_input_blocks_8_1_proj_in"]
    with pytest.raises(ModelError, match="a file"):
        _read(flat)


def test_upsamplers_alone_do_not_tell_where_attention_is():
    sites = [Site("unet", f"up_blocks.0.resnets.{at}.conv1.weight") for at in range(5)]
    sites.append(Site("unet", "up_blocks.0.upsamplers.0.conv.weight"))
    with pytest.raises(ModelError, match="test"):
        _flat(sites)
    assert "lora_unet_output_blocks_4_2_conv" in _flat(sites, UNetLayout(4, frozenset({0})))


def test_very_many_entries_are_counted_in_one_pass():
    """A pass over all of them for each takes minutes."""
    entries = frozenset((entry, 0) for entry in range(1, 12_000))
    evidence = Evidence(where="cat", is_ours=False, found={DOWN_RESNET: entries})
    begin = time.process_time()
    assert derive_layout(evidence, ()).layers == len(entries)
    assert time.process_time() - begin < 4
