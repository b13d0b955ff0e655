"""Prefixes of paths."""

from __future__ import annotations

import pytest
from torch import nn

from loraloom.adapters.prefixes import check_prefixes, longest_prefix
from loraloom.adapters.site import Site
from loraloom.errors import UsageError

PATH = "unet.up_blocks.10.conv.weight"


@pytest.mark.parametrize(
    ("prefixes", "expected"),
    [
        ({"unet"}, "unet"),
        ({"unet", "unet.up_blocks"}, "unet.up_blocks"),
        ({"", "unet.up_blocks.1"}, ""),
        ({"unet.up_blocks.1", "unet.up"}, None),
        ({"unet", PATH}, PATH),
        ({"text_encoder"}, None),
        (set(), None),
    ],
)
def test_the_longest_prefix_that_ends_with_a_name_wins(prefixes, expected):
    assert longest_prefix(PATH, prefixes) == expected


NETWORKS = {
    "unet": nn.ModuleDict({"mid_block": nn.Linear(1, 1)}),
    "text_encoder": nn.ModuleDict({"encoder": nn.Linear(1, 1)}),
}


@pytest.mark.parametrize(
    "prefix",
    [
        "",
        "unet",
        "text_encoder_2",
        "unet.up_blocks",
        "unet.up_blocks.10.conv.weight",
        "unet.mid_block",
        "unet.mid_block.weight",
        "text_encoder.text_model.encoder",
        "text_encoder.text_model.encoder.bias",
        "text_encoder.encoder",
    ],
)
def test_what_adapter_or_network_has_is_known(prefix):
    check_prefixes([prefix], "cat", [Site.parse(PATH)], NETWORKS)


@pytest.mark.parametrize(
    ("prefix", "near"),
    [
        ("unett", "unet"),
        ("unet.up_block", "unet.up_blocks"),
        ("unet.up_blocks.11", "unet.up_blocks.10"),
        ("up_blocks.10", "unet.up_blocks.10"),
        ("unet.mid_block.conv", ""),
    ],
)
def test_what_neither_has_is_refused_with_the_nearest(prefix, near):
    with pytest.raises(UsageError) as caught:
        check_prefixes(["unet", prefix], "cat", [Site.parse(PATH)], NETWORKS)
    assert caught.value.code == "attach.unknown_place"
    assert caught.value.details["name"] == prefix
    assert near in caught.value.details["near"].split(", ") or not near
