"""Which family a file is for: told by its names, its shapes and its header."""

from __future__ import annotations

import pytest

from loraloom.adapters.site import Site
from loraloom.formats.naming.table import FAMILIES, families_of, family_of, family_told, parts_of

ATTENTION = "down_blocks.1.attentions.0.transformer_blocks.0"
TO_K = Site("unet", f"{ATTENTION}.attn2.to_k.weight")
TO_Q = Site("unet", f"{ATTENTION}.attn2.to_q.weight")


def test_families_are_listed_under_their_names():
    assert FAMILIES
    assert all(family.name == name for name, family in FAMILIES.items())


@pytest.mark.parametrize(
    ("weights", "families"),
    [
        ({TO_K: (640, 768)}, ("sd1",)),
        ({TO_K: (640, 1024)}, ("sd2",)),
        ({TO_K: (640, 2048), TO_Q: (640, 640)}, ("sdxl",)),
        # The width of the queries, and one side alone of an update, tell nothing.
        ({TO_Q: (640, 768)}, ("sd1", "sd2", "sdxl")),
        ({TO_K: (640, None)}, ("sd1", "sd2", "sdxl")),
        ({TO_K: ()}, ("sd1", "sd2", "sdxl")),
        # A bias is as long as the output.
        ({Site("unet", f"{ATTENTION}.attn2.to_k.bias"): (640, 640)}, ("sd1", "sd2", "sdxl")),
        ({TO_K: (32, 16)}, ("sd1", "sd2", "sdxl")),
        ({TO_K: (640, 768), Site("text_encoder_2", "text_projection.weight"): ()}, ("sdxl",)),
        ({Site("unet", "add_embedding.linear_1.weight"): ()}, ("sdxl",)),
        ({TO_K: (640, 768), Site("unet", "somewhere.weight"): ()}, ()),
        ({Site("model", "model.layers.0.mlp.up_proj.weight"): (64, 16)}, ("llama",)),
    ],
)
def test_names_and_widths_leave_these_families(weights, families):
    assert families_of(weights) == families
    names_alone = family_of(weights)
    assert names_alone == "" if not families else families_of(dict.fromkeys(weights, ()))[0]


def test_widths_that_contradict_each_other_leave_the_choice_open():
    value = Site("unet", f"{ATTENTION}.attn2.to_v.weight")
    assert families_of({TO_K: (640, 768), value: (640, 1024)}) == ("sd1", "sd2", "sdxl")


# What kohya's trainer, OneTrainer and the modelspec of Stability AI write.
@pytest.mark.parametrize(
    ("metadata", "family"),
    [
        ({"ss_base_model_version": "sd_v1"}, "sd1"),
        ({"ss_base_model_version": "sd_v2_v"}, "sd2"),
        ({"ss_base_model_version": "sdxl_base_v1-0"}, "sdxl"),
        ({"ss_base_model_version": "sdxl_"}, "sdxl"),
        ({"ss_base_model_version": "5-large"}, "sd3"),
        ({"ss_base_model_version": "flux1"}, "flux"),
        ({"modelspec.architecture": "stable-diffusion-v1/lora"}, "sd1"),
        ({"modelspec.architecture": "stable-diffusion-v2-768-v/lora"}, "sd2"),
        ({"modelspec.architecture": "stable-diffusion-xl-v1-base/lora"}, "sdxl"),
        ({"modelspec.architecture": "stable-diffusion-3.5-large"}, "sd3"),
        ({"modelspec.architecture": "Flux.1-dev/lora"}, "flux"),
        ({"ss_v2": "True"}, "sd2"),
        ({"ss_v2": "False"}, ""),
        ({"ss_base_model_version": "lumina2"}, ""),
        ({"ss_base_model_version": ""}, ""),
        ({}, ""),
    ],
)
def test_the_header_tells_the_family(metadata, family):
    assert family_told(metadata) == family


@pytest.mark.parametrize("family", [each for each in FAMILIES if each != "llama"])
def test_what_is_written_into_a_header_is_read_out_of_it(family):
    told = FAMILIES[family]
    assert family_told({"ss_base_model_version": told.base_model_version}) == family
    assert family_told({"modelspec.architecture": f"{told.architecture}/lora"}) == family
    assert told.is_v2 is (family == "sd2")


def test_modules_of_no_network_have_no_part():
    assert parts_of(["conv_in", "somewhere.else"]) == ()
