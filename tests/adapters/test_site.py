"""Names of weights."""

from __future__ import annotations

import pytest

from loraloom.adapters.site import Site, canonical_path

Q_PROJ = "text_model.encoder.layers.0.self_attn.q_proj.weight"


def test_a_site_is_its_name():
    site = Site.parse("unet.mid_block.attentions.0.proj_in.weight")
    assert site == Site("unet", "mid_block.attentions.0.proj_in.weight")
    assert str(site) == "unet.mid_block.attentions.0.proj_in.weight"
    assert (site.module, site.parameter) == ("mid_block.attentions.0.proj_in", "weight")


def test_a_text_encoder_is_found_with_and_without_its_first_level():
    assert list(Site("text_encoder", Q_PROJ).live_modules()) == [
        "text_model.encoder.layers.0.self_attn.q_proj",
        "encoder.layers.0.self_attn.q_proj",
    ]
    assert list(Site("unet", "text_model.x.weight").live_modules()) == ["text_model.x"]


@pytest.mark.parametrize("live", [Q_PROJ, Q_PROJ.removeprefix("text_model.")])
def test_both_spellings_have_one_canonical_name(live):
    assert canonical_path("text_encoder", live) == Q_PROJ
    assert canonical_path("model", live) == live
