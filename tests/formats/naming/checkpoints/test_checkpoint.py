"""Whole models' files: ours to theirs and back, and as diffusers itself converts them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
import torch
from diffusers.loaders import single_file_utils as reference
from torch import Tensor

from loraloom.adapters.site import Site
from loraloom.errors import ModelError
from loraloom.formats.naming.checkpoints.arrangement import ARRANGEMENTS
from loraloom.formats.naming.checkpoints.checkpoint import names_in_file, names_in_folder
from loraloom.formats.naming.names import Shown
from loraloom.formats.naming.renaming import Spelling
from tests.formats.naming import published
from tests.formats.naming.stacking import parted, stacked

Shapes = Mapping[Site, tuple[int, ...]]


def _columns(site: Site, shapes: Shapes) -> int:
    """Return the columns of the weight that a tensor is, or is the bias of."""
    weight = Site(site.part, f"{site.module}.weight")
    return (*shapes.get(weight, shapes[site]), 1)[1]


def _file(family: str, tensors: Mapping[Site, Tensor], shapes: Shapes) -> dict[str, Tensor]:
    """Write a single file of a family; every tensor is held by one of its names."""
    arrangement = next(each for each in ARRANGEMENTS if each.family == family)
    sections = {section.renaming.part: section for section in arrangement.sections}
    file: dict[str, Tensor] = {}
    for part, section in sections.items():
        renaming = section.renaming
        shown = renaming.shown_by_sites([s for s in tensors if s.part == part], "test")
        numbering = None if renaming.derive is None else Shown(renaming.derive, lambda s=shown: s)
        for site in tensors:
            if site.part == part:
                holder = renaming.holder(site, Spelling.PARAMETER, numbering)
                assert holder is not None, site
                name = section.prefixes[0] + holder.name
                if name not in file:
                    file[name] = stacked(holder.meaning, tensors, _columns(site, shapes))
    return file


def _numbered(shapes: Shapes) -> dict[Site, Tensor]:
    """Return a tensor of one number for each weight, by which it is known again."""
    return {site: torch.full((1, 1), float(at)) for at, site in enumerate(shapes)}


def _rows(shapes: Shapes) -> dict[Site, Tensor]:
    """Return tensors with the weights' rows, all different, and one column."""
    total = sum(shape[0] for shape in shapes.values())
    counts = [shape[0] for shape in shapes.values()]
    pieces = torch.arange(total, dtype=torch.float64)[:, None].split(counts)
    return dict(zip(shapes, pieces, strict=True))


def _by_path(tensors: Mapping[Site, Tensor]) -> dict[str, Tensor]:
    return {site.path: tensor for site, tensor in tensors.items()}


def _same(one: Mapping[str, Tensor], other: Mapping[str, Tensor]) -> None:
    assert one.keys() == other.keys()
    assert [key for key in one if not torch.equal(one[key], other[key])] == []


def _comes_back(file: Mapping[str, Tensor], tensors: Mapping[Site, Tensor], shapes: Shapes) -> None:
    """Assert that a file, read, is the tensors it was written from."""
    names = names_in_file(file, "a file")
    read: dict[Site, Tensor] = {}
    for name, meaning in names.meanings.items():
        columns = _columns(meaning.sites[0], shapes)
        read |= parted(meaning, file[name], columns)
    assert read.keys() == tensors.keys() == names.holders.keys()
    assert [site for site in read if not torch.equal(read[site], tensors[site])] == []
    assert all(
        names.holders[site].meaning == names.meanings[holder.name]
        for site, holder in names.holders.items()
    )


# XL's attentions are of up to ten layers, here of one: the others are named like it.
@pytest.mark.parametrize(
    ("family", "config"),
    [
        ("sd1", published.SD1_UNET),
        ("sdxl", published.SDXL_UNET | {"transformer_layers_per_block": 1}),
        ("sdxl", published.REFINER_UNET | {"transformer_layers_per_block": 1}),
    ],
)
def test_a_unet_is_converted_as_diffusers_does(family, config):
    with torch.device("meta"):
        shapes = published.shapes("unet", published.unet(**config))
    tensors = _numbered(shapes)
    ones = {site: (1, 1) for site in shapes}
    file = _file(family, tensors, ones)
    assert len(file) == len(shapes)
    converted = reference.convert_ldm_unet_checkpoint(dict(file), {"layers_per_block": 2} | config)
    _same(converted, _by_path(tensors))
    _comes_back(file, tensors, ones)


# Depths, widths and places of attention that no published model has.
@pytest.mark.parametrize(
    "config",
    [
        {"layers": 1, "down": (True, False), "up": (False, True)},
        {"layers": 1, "down": (False, True), "up": (True, False)},
        {"layers": 3, "down": (False, True, False), "up": (False, True, True)},
        {"layers": 1, "down": (True,), "up": (True,)},
        {"layers": 2, "down": (False, False), "up": (False, False)},
    ],
)
def test_unets_of_other_depths_are_converted_as_diffusers_does(config):
    with torch.device("meta"):
        module = published.unet(
            block_out_channels=(32,) * len(config["down"]),
            layers_per_block=config["layers"],
            down_block_types=["CrossAttn" * each + "DownBlock2D" for each in config["down"]],
            up_block_types=["CrossAttn" * each + "UpBlock2D" for each in config["up"]],
            cross_attention_dim=8,
        )
    shapes = published.shapes("unet", module)
    tensors = _numbered(shapes)
    ones = {site: (1, 1) for site in shapes}
    file = _file("sd1", tensors, ones)
    settings = {"layers_per_block": config["layers"]}
    _same(reference.convert_ldm_unet_checkpoint(dict(file), settings), _by_path(tensors))
    _comes_back(file, tensors, ones)


@pytest.mark.parametrize("model", ["sd1", "flux"])
def test_an_autoencoder_is_converted_as_diffusers_does(model):
    shapes = published.weights(model, "vae")
    tensors = _numbered(shapes)
    ones = {site: (1, 1) for site in shapes}
    file = _file(model, tensors, ones)
    blocks = {site.path.split(".")[2] for site in shapes if "up_blocks" in site.path}
    config = {"down_block_types": tuple(blocks), "up_block_types": tuple(blocks)}
    _same(reference.convert_ldm_vae_checkpoint(dict(file), config), _by_path(tensors))
    _comes_back(file, tensors, ones)


def _random(part: str, module: Any) -> tuple[dict[Site, Tensor], Shapes]:
    """Fill a network with random numbers."""
    shapes = published.shapes(part, module)
    generator = torch.Generator().manual_seed(0)
    return {s: torch.randn(shape, generator=generator) for s, shape in shapes.items()}, shapes


@pytest.mark.parametrize(
    ("family", "part", "prefix", "projects"),
    [
        ("sd2", "text_encoder", "cond_stage_model.model.", False),
        ("sdxl", "text_encoder_2", "conditioner.embedders.1.model.", True),
    ],
)
def test_openclip_is_converted_as_diffusers_does(family, part, prefix, projects):
    module = published.clip((8, 16, 3, 2), projects=projects)
    tensors, shapes = _random(part, module)
    file = _file(family, tensors, shapes)
    assert all(name.startswith(prefix) for name in file)
    assert sum("in_proj" in name for name in file) == 6
    converted = reference.convert_open_clip_checkpoint(module, dict(file), prefix=prefix)
    _same(converted, _by_path(tensors))
    _comes_back(file, tensors, shapes)


def test_clip_and_t5_keep_their_names():
    shapes: dict[Site, tuple[int, ...]] = {}
    with torch.device("meta"):
        clip, t5 = published.clip((8, 16, 2, 2), projects=True), published.t5(num_layers=2)
    for part, module in (("text_encoder", clip), ("text_encoder_2", clip), ("text_encoder_3", t5)):
        shapes |= published.shapes(part, module)
    ones = {site: (1, 1) for site in shapes}
    tensors = _numbered(shapes)
    file = _file("sd3", tensors, ones)
    _comes_back(file, tensors, ones)
    converted = reference.convert_sd3_t5_checkpoint_to_diffusers(dict(file))
    _same(converted, _by_path({s: t for s, t in tensors.items() if s.part == "text_encoder_3"}))


def test_the_text_encoder_of_stable_diffusion_1_keeps_its_names():
    with torch.device("meta"):
        shapes = published.shapes("text_encoder", published.clip((8, 16, 2, 2)))
    file = {f"cond_stage_model.transformer.{site.path}": site for site in shapes}
    found = names_in_file(file, "a file")
    assert found.families == ("sd1",)
    assert {name: meaning.site for name, meaning in found.meanings.items()} == file
    assert reference.convert_ldm_clip_checkpoint(file) == {s.path: s for s in file.values()}


# diffusers' converters take FLUX's width for granted, and read the depth off the names.
@pytest.mark.parametrize(
    ("family", "build", "config", "convert"),
    [
        (
            "flux",
            published.flux,
            published.FLUX_TRANSFORMER | {"num_layers": 2, "num_single_layers": 3},
            reference.convert_flux_transformer_checkpoint_to_diffusers,
        ),
        (
            "sd3",
            published.sd3,
            published.SD3_TRANSFORMER | {"num_layers": 3},
            reference.convert_sd3_transformer_checkpoint_to_diffusers,
        ),
        (
            "sd3",
            published.sd3,
            published.SD35_TRANSFORMER | {"num_layers": 3, "dual_attention_layers": (0, 1)},
            reference.convert_sd3_transformer_checkpoint_to_diffusers,
        ),
    ],
)
def test_a_transformer_is_converted_as_diffusers_does_row_by_row(family, build, config, convert):
    with torch.device("meta"):
        shapes = published.shapes("transformer", build(**config))
    tensors = _rows(shapes)
    file = _file(family, tensors, shapes)
    assert len(file) < len(shapes)
    _same(convert(dict(file)), _by_path(tensors))
    _comes_back(file, tensors, shapes)


@pytest.mark.parametrize(
    ("key", "families"),
    [
        ("model.diffusion_model.input_blocks.0.0.weight", ("sd1", "sd2", "sdxl")),
        ("model.diffusion_model.label_emb.0.0.weight", ("sdxl",)),
        ("input_blocks.0.0.weight", ("sd1", "sd2", "sdxl")),
        ("cond_stage_model.model.positional_embedding", ("sd2",)),
        ("conditioner.embedders.0.model.positional_embedding", ("sdxl",)),
        ("joint_blocks.0.context_block.attn.qkv.weight", ("sd3",)),
        ("double_blocks.0.img_attn.norm.key_norm.scale", ("flux",)),
    ],
)
def test_a_file_is_of_the_families_whose_names_it_has(key, families):
    # Moving averages, schedules and buffers are no weights of a network.
    others = ["model_ema.decay", "betas", "cond_stage_model.logit_scale", "pos_ids", "", "é.1"]
    names = names_in_file([key, *others], "a file")
    assert names.families == families
    assert names.meanings.keys() == {key}


def test_a_file_of_no_model_is_an_error():
    with pytest.raises(ModelError, match=r"a file.*lora_unet_x"):
        names_in_file(["lora_unet_x", "betas"], "a file")


def test_two_tensors_for_one_weight_are_an_error():
    prefix = "conditioner.embedders.1.model.text_projection"
    with pytest.raises(ModelError, match=r"a file: .*text_projection"):
        names_in_file([prefix, f"{prefix}.weight"], "a file")


@pytest.mark.parametrize("root", ["", "text_model."])
def test_a_folders_names_are_ours(root):
    key = "encoder.layers.0.mlp.fc1.weight"
    names = names_in_folder("text_encoder", [f"{root}{key}"], "a folder")
    site = Site("text_encoder", f"text_model.{key}")
    assert names.holders[site].name == f"{root}{key}"
    assert names.meanings[f"{root}{key}"].is_plain


def test_a_t5_in_a_folder_has_no_level_added():
    shapes = published.weights("sd3", "text_encoder_3")
    live = list(published.network("sd3", "text_encoder_3").state_dict())
    names = names_in_folder("text_encoder_3", live, "a folder")
    assert {site.path for site in names.holders} == set(live)
    assert shapes.keys() <= names.holders.keys()
