"""`loraloom lora fuse` and `extract` on one file of Stable Diffusion 1 as its authors named it.

The oracle is diffusers: it converts the fused file, and the networks' outputs are compared.
"""

from __future__ import annotations

import copy
import json
from pathlib import Path

import pytest
import torch
from diffusers.loaders import single_file_utils as reference
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from loraloom.adapters.attachment import attach
from loraloom.adapters.site import Site, canonical_path
from loraloom.formats.files import read_adapter
from loraloom.formats.naming.checkpoints.arrangement import ARRANGEMENTS
from loraloom.formats.naming.names import Shown
from loraloom.formats.naming.renaming import Spelling

from ...tiny_base import build_tiny

_TEXT = "cond_stage_model.transformer."
_METADATA = {"format": "pt", "modelspec.title": "tiny"}
_OTHERS = {
    "model_ema.decay": torch.tensor(0.9999),
    f"{_TEXT}text_model.embeddings.position_ids": torch.arange(77)[None],
    "first_stage_model.encoder.conv_in.weight": torch.ones(8, 3, 3, 3),
    "betas": torch.linspace(0, 1, 10, dtype=torch.float64),
}


@pytest.fixture(scope="module")
def networks():
    """Return the UNet and the text encoder, untrained."""
    model = build_tiny()
    return {part: net.eval().requires_grad_(False) for part, net in model.networks.items()}


def single(networks, dtype: torch.dtype = torch.float32) -> dict[str, torch.Tensor]:
    """Return the tensors of both networks by the names that CompVis gave them, and others."""
    arrangement = next(each for each in ARRANGEMENTS if each.family == "sd1")
    sections = {section.renaming.part: section for section in arrangement.sections}
    file = dict(_OTHERS)
    for part, network in networks.items():
        section = sections[part]
        sites = {Site(part, canonical_path(part, n)): t for n, t in network.state_dict().items()}
        shown = section.renaming.shown_by_sites(sites, "the test")
        derive = section.renaming.derive
        numbering = None if derive is None else Shown(derive, lambda s=shown: s)
        for site, tensor in sites.items():
            holder = section.renaming.holder(site, Spelling.PARAMETER, numbering)
            file[section.prefixes[0] + holder.name] = tensor.to(dtype)
    return file


def loaded(networks, file: dict[str, torch.Tensor]):
    """Return copies of the networks with a single file's weights, found by diffusers."""
    copies = copy.deepcopy(networks)
    unet = reference.convert_ldm_unet_checkpoint(dict(file), {"layers_per_block": 1})
    copies["unet"].load_state_dict(unet)
    keys = {name.removeprefix(_TEXT): t for name, t in file.items() if name.startswith(_TEXT)}
    own = copies["text_encoder"].state_dict().keys()
    text = {name: keys[name if name in keys else f"text_model.{name}"] for name in own}
    copies["text_encoder"].load_state_dict(text)
    return copies


def outputs(networks) -> torch.Tensor:
    """Return what both networks make of one picture and one prompt, in one row."""
    states = networks["text_encoder"](torch.arange(1, 20)[None]).last_hidden_state
    noisy = torch.randn(1, 4, 8, 8, generator=torch.Generator().manual_seed(0))
    predicted = networks["unet"](noisy, torch.tensor([500]), states).sample
    return torch.cat([states.flatten(), predicted.flatten()])


def test_a_single_file_is_fused_and_does_as_the_networks_live(networks, files, tmp_path, run):
    base, fused = tmp_path / "base.safetensors", tmp_path / "fused.safetensors"
    save_file(single(networks), base, _METADATA)
    before = base.read_bytes()
    run("fuse", base, f"{files['one']}:0.5", f"{files['two']}:-0.4", "-o", fused)
    assert base.read_bytes() == before
    adapters = {name: read_adapter(files[name]) for name in ("one", "two")}
    bare = outputs(networks)
    with attach(networks, adapters, {"one": 0.5, "two": -0.4}):
        live = outputs(networks)
    assert (live - bare).norm() > 0.05 * bare.norm()
    file = load_file(fused)
    assert (outputs(loaded(networks, file)) - live).norm() <= 1e-6 * live.norm()
    assert torch.equal(outputs(networks), bare)
    assert all(torch.equal(file[name], tensor) for name, tensor in _OTHERS.items())
    with safe_open(fused, "pt") as opened:
        metadata = opened.metadata()
    told = json.loads(metadata.pop("loraloom.fused"))
    assert [(each["name"], each["weight"]) for each in told] == [("one", 0.5), ("two", -0.4)]
    assert metadata == _METADATA


# How far from a fused model's own rounding an extracted adapter is at most, and what of its change
# that is here; the larger the change, the smaller the share.
@pytest.mark.parametrize(
    ("dtype", "share"),
    [(torch.float32, 2e-7), (torch.float16, 1e-3), (torch.bfloat16, 1e-2)],
)
def test_what_was_fused_is_extracted_within_the_rounding(
    networks, files, tmp_path, run, dtype, share
):
    base, fused, out = (tmp_path / f"{name}.safetensors" for name in ("base", "fused", "out"))
    save_file(single(networks, dtype), base, _METADATA)
    run("fuse", base, files["one"], "-o", fused)
    run("extract", fused, base, "-o", out, "--to", "lycoris")
    assert run("info", out)["adapters"][0]["family"] == "sd1"
    whole, given = read_adapter(out), read_adapter(files["one"])
    assert whole.deltas.keys() == given.deltas.keys()
    weights = {name: tensor for name, tensor in load_file(fused).items() if tensor.dtype == dtype}
    largest = max(float(tensor.abs().max()) for tensor in weights.values())
    for site, delta in given.deltas.items():
        change, found = delta.delta(None).double(), whole.deltas[site].delta(None).double()
        rounding = torch.finfo(dtype).eps / 2 * largest
        assert (found - change).abs().max() <= rounding + 1e-7 * change.abs().max()
        assert (found - change).norm() <= share * change.norm()
    low = tmp_path / "low.safetensors"
    run("extract", fused, base, "--rank", 4, "-o", low)
    assert run("verify", files["one"], low, "--tolerance", 10 * share)["ok"]


def test_a_sharded_folder_and_a_file_are_fused_alike(
    networks, tiny_base: Path, files, tmp_path, run
):
    """The same networks in one file and in diffusers' shards, whose index is theirs."""
    base, one, many = tmp_path / "base.safetensors", tmp_path / "one.safetensors", tmp_path / "many"
    save_file(single(networks), base)
    networks["unet"].save_pretrained(tmp_path / "model" / "unet", max_shard_size="100KB")
    networks["text_encoder"].save_pretrained(tmp_path / "model" / "text_encoder")
    run("fuse", base, files["one"], "-o", one)
    run("fuse", tmp_path / "model", files["one"], "-o", many)
    shards = sorted(path.name for path in (many / "unet").glob("*.safetensors"))
    assert len(shards) > 2
    assert shards == sorted(p.name for p in (tmp_path / "model" / "unet").glob("*.safetensors"))
    again = {part: type(net).from_pretrained(many / part) for part, net in networks.items()}
    found = {part: net.state_dict() for part, net in loaded(networks, load_file(one)).items()}
    for part, network in again.items():
        assert all(torch.equal(found[part][n], t) for n, t in network.state_dict().items())
