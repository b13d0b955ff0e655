"""Every layer of every published network has a name in every spelling, and comes back."""

from __future__ import annotations

from collections.abc import Collection, Iterable

import pytest
from torch import nn

from loraloom.adapters.site import Site, canonical_path
from loraloom.formats.naming.family import Family
from loraloom.formats.naming.meaning import Meaning
from loraloom.formats.naming.renaming import Spelling
from loraloom.formats.naming.table import FAMILIES, families_of, part_of, parts_of
from tests.formats.naming.published import BUILDERS, FAMILY, network, weights

NETWORKS = [key for key in BUILDERS if key[1] != "vae"]
# Where kohya writes the authors' names, they are the dotted ones with other dots.
SPELLED = [(*key, Spelling.FLAT) for key in NETWORKS if key[0] != "refiner"] + [
    ("playground", "unet", Spelling.MODULE),
    ("sd1", "unet", Spelling.MODULE),
    ("sdxl", "text_encoder_2", Spelling.MODULE),
    ("sd3", "transformer", Spelling.MODULE),
    ("sd3", "text_encoder_3", Spelling.MODULE),
]


def _sites(part: str, paths: Iterable[str]) -> list[Site]:
    return [Site(part, canonical_path(part, f"{path}.weight")) for path in paths]


def _layers(model: str, part: str) -> list[Site]:
    """Return the weights of all layers: linear, convolutions, embeddings and norms."""
    modules = network(model, part).named_modules()
    sites = _sites(part, (p for p, m in modules if "weight" in m._parameters))
    return [site for site in sites if site in weights(model, part)]


def _family(model: str) -> Family:
    return FAMILIES[FAMILY.get(model, model)]


def _held(family: Family, sites: Collection[Site], spelling: Spelling) -> dict[str, Meaning]:
    """Return the names that hold some weights; all that a name means has to be among them."""
    names = family.names_for(sites, spelling, "test")
    holders = {site: names.holder(site) for site in sites}
    assert [site for site, holder in holders.items() if holder is None] == []
    assert [site for site, holder in holders.items() if site not in holder.meaning.sites] == []
    held = {holder.name: holder.meaning for holder in holders.values()}
    assert sorted(site for meaning in held.values() for site in meaning.sites) == sorted(sites)
    return held


@pytest.mark.parametrize(("model", "part", "spelling"), SPELLED)
def test_every_layer_is_named_and_comes_back(model, part, spelling):
    sites = _layers(model, part)
    held = _held(_family(model), sites, spelling)
    names = _family(model).names_in(held, spelling, "test")
    assert {name: names.meaning(name) for name in held} == held


@pytest.mark.parametrize(("model", "part"), NETWORKS)
def test_a_network_is_known_by_its_linear_layers(model, part):
    live = [path for path, m in network(model, part).named_modules() if isinstance(m, nn.Linear)]
    parts = parts_of(live)
    assert part in parts
    # CLIP and T5 play several parts; the first is taken.
    assert part_of(live) == parts[0]
    assert set(_sites(part, live)) <= weights(model, part).keys()


@pytest.mark.parametrize(
    ("model", "part", "families"),
    [
        ("sd1", "unet", ("sd1",)),
        ("sd2", "unet", ("sd2",)),
        ("sdxl", "unet", ("sdxl",)),
        ("sd1", "text_encoder", ("sd1", "sdxl", "sd3", "flux")),
        ("sd2", "text_encoder", ("sd2",)),
        ("sdxl", "text_encoder_2", ("sdxl", "sd3")),
        ("sd3", "transformer", ("sd3",)),
        ("sd3", "text_encoder_3", ("sd3",)),
        ("flux", "transformer", ("flux",)),
        ("flux", "text_encoder_2", ("flux",)),
        ("playground", "unet", ("sd1",)),
    ],
)
def test_names_and_shapes_tell_the_family_as_far_as_they_can(model, part, families):
    shapes = weights(model, part)
    assert families_of({site: shapes[site] for site in _layers(model, part)}) == families


def _chosen(module: nn.Module, classes: tuple[str, ...]) -> list[str]:
    """Return the linear layers and 1x1 convolutions within modules of some classes."""
    modules = dict(module.named_modules())
    inside = tuple(f"{path}." for path, each in modules.items() if type(each).__name__ in classes)
    return [
        path
        for path, each in modules.items()
        if isinstance(each, nn.Linear | nn.Conv2d)
        and path.startswith(inside)
        and getattr(each, "kernel_size", (1, 1)) == (1, 1)
    ]


TRANSFORMERS = ("Transformer2DModel",)
CLIP_LAYERS = ("CLIPAttention", "CLIPMLP")
SD3_BLOCKS = ("JointTransformerBlock",)
FLUX_BLOCKS = ("FluxTransformerBlock", "FluxSingleTransformerBlock")


# The modules that kohya's trainer chooses, counted by hand. Stable Diffusion 1 and 2: 16 attention
# blocks of proj_in, proj_out and 10 more; XL: 11, with 70 blocks of 10 in them. CLIP: q, k, v, out,
# fc1 and fc2 in a layer. SD3: 23 blocks of (qkv, proj, fc1, fc2, modulation) twice, and one whose
# half for text has qkv and modulation alone; in 3.5, 13 have a second attention. FLUX: 19 double
# blocks of 10, 38 single ones of 3.
@pytest.mark.parametrize(
    ("model", "part", "classes", "count"),
    [
        ("sd1", "unet", TRANSFORMERS, 192),
        ("sd1", "text_encoder", CLIP_LAYERS, 72),
        ("sd2", "unet", TRANSFORMERS, 16 * 12),
        ("sd2", "text_encoder", CLIP_LAYERS, 23 * 6),
        ("sdxl", "unet", TRANSFORMERS, 722),
        ("sdxl", "text_encoder", CLIP_LAYERS, 72),
        ("sdxl", "text_encoder_2", CLIP_LAYERS, 192),
        ("sd3", "transformer", SD3_BLOCKS, 237),
        ("sd3.5", "transformer", SD3_BLOCKS, 237 + 13 * 2),
        ("flux", "transformer", FLUX_BLOCKS, 304),
    ],
)
def test_as_many_modules_as_kohyas_trainer_has(model, part, classes, count):
    sites = _sites(part, _chosen(network(model, part), classes))
    assert len(_held(_family(model), sites, Spelling.FLAT)) == count
