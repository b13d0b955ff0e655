"""Fusing into checkpoints, and extracting what was fused."""

from __future__ import annotations

import copy
import json
import math
import tracemalloc
from dataclasses import replace

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import nn
from transformers.pytorch_utils import Conv1D

from loraloom.adapters.adapter import Adapter
from loraloom.adapters.attachment import attach
from loraloom.adapters.card import Card
from loraloom.adapters.full import Full
from loraloom.adapters.kinds import KINDS
from loraloom.adapters.lora import Lora
from loraloom.adapters.operation import Operation
from loraloom.adapters.site import Site
from loraloom.adapters.span import Span
from loraloom.composing import (
    BaseWeights,
    CheckpointFile,
    Truncation,
    extract,
    fuse,
    fused_metadata,
    in_file,
    in_memory,
    merge,
)
from loraloom.errors import ModelError
from loraloom.formats.atomic import write_files
from loraloom.formats.naming.checkpoints.checkpoint import names_in_file, names_in_folder
from tests.adapters.variants import VARIANTS, Layer, weight_of
from tests.composing.conftest import LAYERS, assert_same_changes, changes, random_delta, site

_ONES = {
    "linear": nn.Linear(16, 8),
    "1x1": nn.Conv2d(16, 8, 1),
    "3x3": nn.Conv2d(16, 8, 3, padding=1),
    "grouped": nn.Conv2d(16, 8, 2, groups=4),
    "embedding": nn.Embedding(16, 8),
    "gpt2": Conv1D(8, 16),
}


def _names(tensors, turned=()):
    return names_in_folder("model", tensors, "the test", turned).meanings


def _read(checkpoint):
    return {name: stored.read() for name, stored in checkpoint.items()}


def _worn(net, tensors):
    copied = copy.deepcopy(net)
    copied.load_state_dict(tensors)
    return copied


def test_fused_merged_and_live_are_one(net, pictures, make):
    adapters = {"a": make(1), "b": make(2, ("conv", "head"), rank=5)}
    weights = {"a": 0.7, "b": {"model": -1.2, "model.head": 0.5}}
    state = net.state_dict()
    fused = _read(fuse(in_memory(state), _names(state), adapters, weights))
    with attach({"model": net}, adapters, weights):
        live = net(pictures)
    with attach({"model": net}, merge(adapters, weights).adapter):
        merged = net(pictures)
    base = net(pictures)
    found = _worn(net, fused)(pictures)
    assert (live - base).norm() > 0.05 * base.norm()
    assert (found - live).norm() <= 1e-6 * live.norm()
    assert (merged - live).norm() <= 1e-6 * live.norm()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("strength", [1.0, 0.6, -1.7])
def test_every_kind_live_merged_and_fused_is_one(net, pictures, kind, strength):
    weights = {site(layer): net.get_submodule(layer).weight for layer in LAYERS}
    deltas = {where: random_delta(kind, weight, 1) for where, weight in weights.items()}
    adapter, given = {"a": Adapter(deltas=deltas, card=Card(family=""))}, {"a": strength}
    state = net.state_dict()
    fused = _read(fuse(in_memory(state), _names(state), adapter, given))
    base = net(pictures)
    with attach({"model": net}, adapter, given):
        live = net(pictures)
    with attach({"model": net}, merge(adapter, given, base=BaseWeights.of(weights)).adapter):
        merged = net(pictures)
    assert (live - base).norm() > 0.01 * base.norm()
    for found in (_worn(net, fused)(pictures), merged):
        assert (found - live).norm() <= 1e-6 * live.norm()


@pytest.mark.parametrize("variant", VARIANTS, ids=lambda each: f"{each.kind.kind}-{each.name}")
@pytest.mark.parametrize("layer", _ONES.values(), ids=_ONES.keys())
def test_every_form_live_merged_and_fused_is_one(variant, layer, generator):
    """Kinds in all forms on every sort of layer, with factors of a size that none is trained to."""
    net = nn.ModuleDict({"layer": layer}).requires_grad_(False)
    shape = tuple(weight_of(layer).shape)
    if not variant.suits(shape):
        return
    operation = Operation.of(layer)
    drawn = Layer(name="", operation=operation, shape=shape, input=lambda draws: draws)
    delta = variant.random(drawn, generator, weight_of(layer))
    adapter = {"a": Adapter(deltas={site("layer"): delta}, card=Card(family=""))}
    state = net.state_dict()
    drawn = torch.randn(4, 16, 5, 6, generator=generator)
    x = torch.randint(16, (4, 6)) if operation.kind == "embedding" else drawn
    x = x.flatten(2).mT.contiguous() if operation.kind == "linear" else x
    for strength in (1.0, -0.7):
        given = {"a": strength}
        turned = ["layer.weight"] if isinstance(layer, Conv1D) else []
        fused = _read(fuse(in_memory(state), _names(state, turned), adapter, given))
        base = BaseWeights.of({site("layer"): weight_of(layer)})
        with attach({"model": net}, adapter, given):
            live = layer(x)
        with attach({"model": net}, merge(adapter, given, base=base).adapter):
            merged = layer(x)
        for found in (_worn(net, fused)["layer"](x), merged):
            assert (found - live).norm() <= 1e-6 * live.norm()


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.float16, torch.bfloat16])
def test_the_sum_is_rounded_once(net, make, dtype):
    adapters = {"a": make(1), "b": make(2, dtype=torch.float16)}
    state = {name: tensor.to(dtype) for name, tensor in net.state_dict().items()}
    before = copy.deepcopy(state)
    fused = fuse(in_memory(state), _names(state), adapters, {"a": 0.7, "b": 0.2})
    found = _read(fused)
    assert list(found) == list(state)
    for name, tensor in found.items():
        assert tensor.dtype == dtype == fused[name].dtype
        assert torch.equal(state[name], before[name])
        where = Site("model", name)
        if where in adapters["a"].deltas:
            exact = state[name].double() + sum(
                s * changes(adapters[each])[where] for each, s in (("a", 0.7), ("b", 0.2))
            )
            # Half a unit in the last place, and what float32 lost before it was rounded.
            ulp = exact.abs().clamp_min(torch.finfo(dtype).tiny) * torch.finfo(dtype).eps
            slack = 1e-6 if dtype != torch.float64 else 1e-12
            assert ((tensor.double() - exact).abs() <= ulp / 2 + slack * exact.abs().max()).all()
        else:
            assert torch.equal(tensor, state[name])


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
def test_what_was_fused_is_extracted(net, make, dtype):
    """Within the rounding of the fused weights: half a unit of each, whatever the change's size."""
    adapter = make(1)
    state = {name: tensor.to(dtype) for name, tensor in net.state_dict().items()}
    names = _names(state)
    fused = fuse(in_memory(state), names, {"a": adapter}, {"a": 1.0})
    tuned, base = (BaseWeights.in_checkpoint(each, names) for each in (fused, in_memory(state)))
    exact = changes(extract(tuned, base, adapter.card).adapter)
    assert exact.keys() == adapter.deltas.keys()
    rounding = {}
    for where, change in changes(adapter).items():
        largest = fused[where.path].read().double().abs()
        bound = largest * torch.finfo(dtype).eps / 2 + 1e-7 * change.abs().max()
        assert ((exact[where] - change).abs() <= bound).all()
        rounding[where] = float(bound.norm() / change.norm())
    low = extract(tuned, base, adapter.card, Truncation.to(3))
    for fit in low.fits:
        assert fit.rank == 3
        assert fit.error <= rounding[fit.place]
        error = changes(low.adapter)[fit.place] - changes(adapter)[fit.place]
        relative = float(error.norm() / changes(adapter)[fit.place].norm())
        assert relative <= 2 * rounding[fit.place] + 1e-6


def test_biases_and_equal_weights_in_an_extraction(net):
    state = net.state_dict()
    tuned = {name: tensor.clone() for name, tensor in state.items()}
    tuned["tokens.bias"] += 0.5
    names = _names(state)
    weights, base = (BaseWeights.in_checkpoint(in_memory(each), names) for each in (tuned, state))
    made = extract(weights, base, Card(family=""), Truncation(rule="energy", number=0.9))
    ((place, delta),) = made.adapter.deltas.items()
    assert str(place) == "model.tokens.bias"
    torch.testing.assert_close(delta.diff.data, torch.full((32,), 0.5))
    assert extract(base, base, Card(family="")).fits == ()
    assert extract(weights, base, Card(family=""), parts=("unet",)).fits == ()


def test_checkpoints_of_two_architectures_are_not_compared(net):
    state = net.state_dict()
    one = BaseWeights.of({site("head"): state["head.weight"], site("x"): state["head.weight"]})
    other = BaseWeights.of({site("head"): state["head.weight"]})
    with pytest.raises(ModelError) as caught:
        extract(one, other, Card(family=""))
    assert caught.value.code == "composing.not_in_both"
    assert "model.x.weight" in str(caught.value)
    with pytest.raises(ModelError) as caught:
        extract(BaseWeights.of({site("head"): state["conv.weight"]}), other, Card(family=""))
    assert caught.value.code == "composing.shapes"


# Names that are not ours.


def _foreign(shapes):
    generator = torch.Generator().manual_seed(0)
    return {name: torch.randn(shape, generator=generator) for name, shape in shapes.items()}


def _difference(tensors, adapter, meanings):
    fused = _read(fuse(in_memory(tensors), meanings, {"a": adapter}, {"a": 1.0}))
    return {name: (fused[name] - tensor).double() for name, tensor in tensors.items()}


def test_weights_stacked_in_one_tensor_get_each_their_own_change():
    """FLUX's own names: equal thirds, squares and a rest, and two halves in the other order."""
    tensors = _foreign(
        {
            "double_blocks.0.img_attn.qkv.weight": (24, 8),
            "double_blocks.0.img_attn.qkv.bias": (24,),
            "single_blocks.0.linear1.weight": (24 + 32, 8),
            "single_blocks.0.linear1.bias": (24 + 32,),
            "final_layer.adaLN_modulation.1.weight": (16, 8),
            "img_in.weight": (8, 4),
        }
    )
    meanings = names_in_file(tensors, "the test").meanings
    generator = torch.Generator().manual_seed(1)

    def where(path):
        return Site("transformer", path)

    def lora(rows, columns):
        down = torch.randn(2, columns, generator=generator)
        return Lora(down, torch.randn(rows, 2, generator=generator), 2.0)

    deltas = {
        where("transformer_blocks.0.attn.to_k.weight"): lora(8, 8),
        where("transformer_blocks.0.attn.to_v.bias"): Full(torch.randn(8, generator=generator)),
        where("single_transformer_blocks.0.attn.to_v.weight"): lora(8, 8),
        where("single_transformer_blocks.0.proj_mlp.weight"): lora(32, 8),
        where("single_transformer_blocks.0.proj_mlp.bias"): Full(
            torch.randn(32, generator=generator)
        ),
        where("norm_out.linear.weight"): lora(16, 8),
    }
    adapter = Adapter(deltas=deltas, card=Card(family="flux"))
    found = _difference(tensors, adapter, meanings)
    does = {place.path: delta.delta(None).double() for place, delta in deltas.items()}
    zero = torch.zeros(8, 8, dtype=torch.float64)
    expected = {
        "double_blocks.0.img_attn.qkv.weight": torch.cat(
            [zero, does["transformer_blocks.0.attn.to_k.weight"], zero]
        ),
        "double_blocks.0.img_attn.qkv.bias": torch.cat(
            [zero[0], zero[0], does["transformer_blocks.0.attn.to_v.bias"]]
        ),
        "single_blocks.0.linear1.weight": torch.cat(
            [
                zero,
                zero,
                does["single_transformer_blocks.0.attn.to_v.weight"],
                does["single_transformer_blocks.0.proj_mlp.weight"],
            ]
        ),
        "single_blocks.0.linear1.bias": torch.cat(
            [torch.zeros(24).double(), does["single_transformer_blocks.0.proj_mlp.bias"]]
        ),
        "final_layer.adaLN_modulation.1.weight": torch.cat(
            [does["norm_out.linear.weight"][8:], does["norm_out.linear.weight"][:8]]
        ),
        "img_in.weight": torch.zeros(8, 4).double(),
    }
    for name, change in expected.items():
        torch.testing.assert_close(found[name], change, rtol=1e-5, atol=1e-5)
    base = BaseWeights.in_checkpoint(in_memory(tensors), meanings)
    fused = fuse(in_memory(tensors), meanings, {"a": adapter}, {"a": 1.0})
    out = extract(BaseWeights.in_checkpoint(fused, meanings), base, adapter.card).adapter
    assert_same_changes(changes(out), {p: d.delta(None).double() for p, d in deltas.items()}, 1e-6)


def test_a_transposed_projection_and_stacked_attention():
    """OpenCLIP's names, as in Stable Diffusion 2."""
    start = "cond_stage_model.model."
    tensors = _foreign(
        {
            f"{start}transformer.resblocks.0.attn.in_proj_weight": (24, 8),
            f"{start}text_projection": (8, 12),
            f"{start}logit_scale": (),
        }
    )
    meanings = names_in_file(tensors, "the test").meanings
    generator = torch.Generator().manual_seed(1)
    projection = torch.randn(12, 8, generator=generator)
    value = torch.randn(8, 8, generator=generator)
    deltas = {
        Site("text_encoder", "text_projection.weight"): Full(projection),
        Site("text_encoder", "text_model.encoder.layers.0.self_attn.v_proj.weight"): Full(value),
    }
    adapter = Adapter(deltas=deltas, card=Card(family="sd2"))
    found = _difference(tensors, adapter, meanings)
    torch.testing.assert_close(found[f"{start}text_projection"].float(), projection.T)
    stacked = torch.cat([torch.zeros(16, 8), value])
    name = f"{start}transformer.resblocks.0.attn.in_proj_weight"
    torch.testing.assert_close(found[name].float(), stacked)
    assert found[f"{start}logit_scale"] == 0


@pytest.mark.parametrize("kind", ["lokr", "dora"])
def test_a_span_goes_into_one_tensor_or_three(kind):
    """A Kronecker product over q, k and v, in FLUX's own file and in diffusers'."""
    generator = torch.Generator().manual_seed(0)
    whole = torch.randn(24, 8, generator=generator)
    paths = [f"transformer_blocks.0.attn.to_{name}.weight" for name in "qkv"]
    span = Span(tuple(Site("transformer", path) for path in paths))
    delta = random_delta(kind, whole, 1)
    adapter = Adapter(deltas={span: delta}, card=Card(family="flux"))
    fused = {"double_blocks.0.img_attn.qkv.weight": whole, "img_in.weight": torch.ones(8, 4)}
    split = dict(zip(paths, whole.split(8), strict=True))
    one = _difference(fused, adapter, names_in_file(fused, "the test").meanings)
    three = _difference(split, adapter, names_in_folder("transformer", split, "x").meanings)
    expected = delta.delta(whole).double()
    torch.testing.assert_close(
        one["double_blocks.0.img_attn.qkv.weight"], expected, rtol=1e-4, atol=1e-5
    )
    torch.testing.assert_close(
        torch.cat([three[path] for path in paths]), expected, rtol=1e-4, atol=1e-5
    )


# Files.


def test_a_file_is_fused_and_its_source_left_alone(net, make, tmp_path):
    source, target = tmp_path / "base.safetensors", tmp_path / "fused.safetensors"
    state = {**net.state_dict(), "steps": torch.tensor(7), "empty": torch.zeros(0, 3)}
    save_file(state, source, {"format": "pt", "modelspec.hash_sha256": "0x1"})
    before = source.read_bytes()
    adapters, weights = {"a": make(1)}, {"a": 0.5}
    checkpoint = in_file(source)
    fused = fuse(checkpoint, _names(net.state_dict()), adapters, weights)
    metadata = fused_metadata({"format": "pt", "modelspec.hash_sha256": "0x1"}, adapters, weights)
    file = CheckpointFile(fused, metadata)
    write_files({target: file})
    assert source.read_bytes() == before
    assert target.stat().st_size == file.size
    found = load_file(target)
    expected = _read(fuse(in_memory(state), _names(net.state_dict()), adapters, weights))
    assert found.keys() == expected.keys()
    for name, tensor in expected.items():
        assert torch.equal(found[name], tensor), name
    from safetensors import safe_open

    with safe_open(target, "pt") as opened:
        written = opened.metadata()
    assert written["format"] == "pt"
    assert "modelspec.hash_sha256" not in written
    assert json.loads(written["loraloom.fused"])[0]["weight"] == 0.5


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float8_e4m3fn, torch.int8, torch.bool])
def test_tensors_that_are_not_touched_keep_every_bit(net, make, tmp_path, dtype):
    source = tmp_path / "base.safetensors"
    other = torch.arange(6).reshape(2, 3).to(dtype)
    state = {**net.state_dict(), "other": other}
    save_file(state, source)
    fused = fuse(in_file(source), _names(net.state_dict()), {"a": make(1)}, {"a": 1.0})
    file = b"".join(CheckpointFile(fused, {}))
    target = tmp_path / "fused.safetensors"
    target.write_bytes(file)
    found = load_file(target)["other"]
    assert found.dtype == dtype
    assert torch.equal(found.view(torch.uint8), other.view(torch.uint8))


def test_no_more_than_one_tensor_is_held(tmp_path):
    """Twenty tensors of 4 MB: fusing and writing them takes a few of them, not all."""
    source = tmp_path / "base.safetensors"
    save_file({f"{n}.weight": torch.ones(1024, 1024) for n in range(20)}, source)
    deltas = {
        Site("model", f"{n}.weight"): Lora(torch.ones(2, 1024), torch.ones(1024, 2), 2.0)
        for n in range(20)
    }
    adapter = Adapter(deltas=deltas, card=Card(family=""))
    checkpoint = in_file(source)
    fused = fuse(checkpoint, _names(checkpoint), {"a": adapter}, {"a": 1.0})
    tracemalloc.start()
    size = sum(len(block) for block in CheckpointFile(fused, {}))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert size > 80e6
    # Python's own buffers: what is read of the file. torch's are let go tensor by tensor.
    assert peak < 3 * 4.2e6


# What is refused.


def test_a_sum_too_large_for_its_type_is_refused_when_it_is_read(net, make):
    state = {name: tensor.half() for name, tensor in net.state_dict().items()}
    fused = fuse(in_memory(state), _names(state), {"a": make(1)}, {"a": {"model.head": 1e7}})
    assert torch.equal(fused["conv.weight"].read(), state["conv.weight"])
    with pytest.raises(ModelError) as caught:
        fused["head.weight"].read()
    assert caught.value.code == "composing.overflow"
    assert "head.weight" in str(caught.value)


def test_sites_that_no_tensor_means_are_listed(net, make):
    state = net.state_dict()
    del state["head.weight"]
    del state["conv.weight"]
    with pytest.raises(ModelError) as caught:
        fuse(in_memory(state), _names(state), {"a": make(1)}, {"a": 1.0})
    assert caught.value.code == "composing.not_in_checkpoint"
    assert caught.value.details["places"] == (site("conv"), site("head"))
    only = {"model.tokens": 1.0}
    fused = fuse(in_memory(state), _names(state), {"a": make(1)}, {"a": only})
    assert not torch.equal(fused["tokens.weight"].read(), state["tokens.weight"])


@pytest.mark.parametrize("dtype", [torch.float8_e4m3fn, torch.int8, torch.uint8])
def test_packed_numbers_are_refused_by_name(net, make, dtype):
    state = net.state_dict()
    state["head.weight"] = state["head.weight"].to(dtype)
    with pytest.raises(ModelError) as caught:
        fuse(in_memory(state), _names(state), {"a": make(1)}, {"a": 1.0})
    assert caught.value.code == "composing.quantised"
    assert all(word in str(caught.value) for word in ("head.weight", str(dtype)))
    untouched = make(1, ("tokens",))
    fuse(in_memory(state), _names(state), {"a": untouched}, {"a": 1.0})


def test_tied_tensors_are_refused_by_name(make):
    table = torch.ones(24, 32)
    state = {"head.weight": table, "tokens_too.weight": table, "apart.weight": torch.ones(3)}
    names = names_in_folder("model", state, "x").meanings
    with pytest.raises(ModelError) as caught:
        fuse(in_memory(state), names, {"a": make(1, ("head",))}, {"a": 1.0})
    assert caught.value.code == "composing.tied"
    assert all(word in str(caught.value) for word in ("head.weight", "tokens_too.weight"))
    pair = torch.ones(48, 32)
    state = {"head.weight": pair[:24], "tokens_too.weight": pair[24:]}
    names = names_in_folder("model", state, "x").meanings
    fuse(in_memory(state), names, {"a": make(1, ("head",))}, {"a": 1.0})


def test_another_shape_is_refused_by_name(net, make):
    state = net.state_dict()
    state["head.weight"] = torch.ones(23, 32)
    with pytest.raises(ModelError) as caught:
        fuse(in_memory(state), _names(state), {"a": make(1)}, {"a": 1.0})
    assert caught.value.code == "composing.shapes"
    assert all(word in str(caught.value) for word in ("model.head.weight", "(23, 32)", "(24, 32)"))


def test_rows_that_cannot_be_shared_out_are_refused_by_name():
    tensors = {"double_blocks.0.img_attn.qkv.weight": torch.ones(25, 8)}
    meanings = names_in_file(tensors, "x").meanings
    with pytest.raises(ModelError) as caught:
        BaseWeights.in_checkpoint(in_memory(tensors), meanings)
    assert caught.value.code == "composing.fused_rows"
    assert "double_blocks.0.img_attn.qkv.weight" in str(caught.value)


def test_a_tensor_that_is_not_what_was_announced_is_refused():
    (name, stored), *_ = in_memory({"x": torch.ones(3)}).items()
    lying = {name: replace(stored, read=lambda: torch.ones(4))}
    with pytest.raises(ModelError) as caught:
        list(CheckpointFile(lying, {}))
    assert caught.value.code == "composing.changed_tensor"


def test_a_file_cut_off_while_it_is_read_is_refused(tmp_path):
    path = tmp_path / "base.safetensors"
    save_file({"x": torch.ones(1000)}, path)
    checkpoint = in_file(path)
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(ModelError) as caught:
        checkpoint["x"].read()
    assert caught.value.code == "file.unreadable"
    assert math.isclose(checkpoint["x"].bytes, 4000)
