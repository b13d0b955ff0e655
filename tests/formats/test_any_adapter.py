"""What holds for every adapter in every format, whatever it is made of."""

from __future__ import annotations

import random

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from loraloom.adapters.adapter import Adapter
from loraloom.adapters.card import Card
from loraloom.adapters.lora import Lora
from loraloom.adapters.site import Site
from loraloom.errors import ModelError
from loraloom.formats.coding import decode, encode
from loraloom.formats.contents import Contents
from loraloom.formats.kohya import Kohya
from loraloom.formats.table import CODECS, FORMATS, detect
from tests.formats.arbitrary import DTYPES, EXPRESSIBLE, FORMS, Size, any_adapter

ANY_FORMAT = st.sampled_from(sorted(EXPRESSIBLE))
# What a format says of an alpha that is not there: a configuration names one for every weight.
NAMES_EVERY_ALPHA = {"diffusers", "peft"}

# What can befall a tensor in a file: what is there in its place.
DAMAGE = {
    "lost": lambda key, tensor: {},
    "renamed": lambda key, tensor: {f"{key}x": tensor},
    "flat": lambda key, tensor: {key: tensor.flatten()},
    "turned": lambda key, tensor: {key: tensor.transpose(0, -1) if tensor.ndim else tensor},
    "empty": lambda key, tensor: {key: tensor.new_zeros(0)},
    "long": lambda key, tensor: {key: torch.stack([tensor, tensor])},
}


def _read(encoded, family=""):
    return decode(encoded.tensors, encoded.metadata, encoded.config, family=family)


def _scale(delta):
    return 1.0 if delta.alpha is None or delta.rank is None else delta.alpha / delta.rank


def _assert_same(found, expected, *, alphas):
    """Assert that nothing but the spelling of shapes with ones in them has changed."""
    assert found.card == expected.card
    assert found.deltas.keys() == expected.deltas.keys()
    for place, delta in expected.deltas.items():
        other = found.deltas[place]
        assert (other.kind, other.rank) == (delta.kind, delta.rank), place
        assert dict(other.settings) == dict(delta.settings), place
        if delta.rank is not None:
            assert (other.alpha == delta.alpha) if alphas else _scale(other) == _scale(delta)
        assert other.parts().keys() == delta.parts().keys()
        for part, tensor in delta.parts().items():
            read = other.parts()[part]
            assert (read.dtype, read.numel()) == (tensor.dtype, tensor.numel())
            assert torch.equal(read.reshape(tensor.shape), tensor), (place, part)


def _assert_same_file(found, expected):
    assert (found.metadata, found.config) == (expected.metadata, expected.config)
    assert found.tensors.keys() == expected.tensors.keys()
    for key, tensor in expected.tensors.items():
        other = found.tensors[key]
        assert (other.dtype, other.shape) == (tensor.dtype, tensor.shape), key
        assert torch.equal(other, tensor), key


@given(data=st.data(), format=ANY_FORMAT)
@settings(max_examples=15)
def test_what_is_written_is_read_bit_for_bit(data, format):
    adapter = any_adapter(data, format)
    read = _read(encode(FORMATS[format], adapter))
    _assert_same(read, adapter, alphas=format not in NAMES_EVERY_ALPHA)


@given(data=st.data(), format=ANY_FORMAT)
@settings(max_examples=15)
def test_what_is_read_is_written_as_it_was(data, format):
    """Also by other hands: alphas in other types and shapes or not there, and entries unknown."""
    adapter = any_adapter(data, format)
    encoded = encode(FORMATS[format], adapter)
    tensors, metadata = dict(encoded.tensors), {**encoded.metadata, "stranger": "entry"}
    for key in [key for key in tensors if key.endswith(".alpha")]:
        way = data.draw(st.sampled_from(["kept", "one", "integer", "half", "gone"]))
        if way == "gone":
            del tensors[key]
        elif way == "one":
            tensors[key] = tensors[key].reshape(1)
        elif way == "integer":
            tensors[key] = torch.tensor(3)
        elif way == "half":
            tensors[key] = torch.tensor(1 / 3, dtype=torch.float16)
    names = list(tensors)
    random.Random(data.draw(st.integers(0, 9))).shuffle(names)
    read = decode({name: tensors[name] for name in names}, metadata, encoded.config)
    again = encode(CODECS[read.origin.dialect], read)
    assert read.origin.dialect == FORMATS[format].name
    assert again.metadata == metadata
    assert again.tensors.keys() == tensors.keys()
    for key, tensor in tensors.items():
        other = again.tensors[key]
        assert (other.dtype, other.shape) == (tensor.dtype, tensor.shape), key
        assert torch.equal(other, tensor), key


@given(data=st.data())
@settings(max_examples=15)
def test_the_update_is_the_same_in_every_format(data):
    """Through several formats in a row, every number of every update stays."""
    route = data.draw(st.lists(st.sampled_from(sorted(EXPRESSIBLE)), min_size=2, max_size=4))
    adapter = any_adapter(data, *route)
    found = adapter
    for format in route:
        found = _read(encode(FORMATS[format], found), adapter.card.family)
    assert found.deltas.keys() == adapter.deltas.keys()
    for place, delta in adapter.deltas.items():
        shape = [6 if side is None else side for side in delta.claimed_shape]
        weight = torch.randn(shape, generator=torch.Generator().manual_seed(1))
        assert torch.equal(found.deltas[place].delta(weight), delta.delta(weight)), route


@given(data=st.data(), format=ANY_FORMAT)
@settings(max_examples=15)
def test_a_file_is_known_for_what_it_is(data, format):
    adapter = any_adapter(data, format)
    encoded = encode(FORMATS[format], adapter)
    shapes = {key: tuple(tensor.shape) for key, tensor in encoded.tensors.items()}
    contents = Contents(
        where="a file", shapes=shapes, metadata=encoded.metadata, config=encoded.config
    )
    assert [each.name for each in CODECS.values() if each.matches(contents)] == [
        FORMATS[format].name
    ]
    assert detect(contents).name == FORMATS[format].name


@given(data=st.data(), format=ANY_FORMAT)
@settings(max_examples=15)
def test_a_file_that_lacks_or_mixes_something_is_read_whole_or_refused(data, format):
    """Tensors lost, renamed and of other shapes: an error of ours, or every tensor in its place."""
    encoded = encode(FORMATS[format], any_adapter(data, format))
    tensors = dict(encoded.tensors)
    for _ in range(data.draw(st.integers(1, 3))):
        if not tensors:
            break
        key = data.draw(st.sampled_from(sorted(tensors)))
        way = data.draw(st.sampled_from(sorted(DAMAGE)))
        tensors |= DAMAGE[way](key, tensors.pop(key))
    try:
        read = decode(tensors, encoded.metadata, encoded.config)
    except ModelError:
        return
    again = encode(CODECS[read.origin.dialect], read).tensors
    assert again.keys() == tensors.keys()
    assert all(torch.equal(again[key], tensor) for key, tensor in tensors.items())


# Weights that a file stacks by rows.

FUSED = {
    "lora_unet_double_blocks_0_img_attn_qkv": (
        [f"transformer_blocks.0.attn.to_{each}" for each in "qkv"],
        [1, 1, 1],
    ),
    "lora_unet_single_blocks_3_linear1": (
        [
            *(f"single_transformer_blocks.3.attn.to_{each}" for each in "qkv"),
            "single_transformer_blocks.3.proj_mlp",
        ],
        [1, 1, 1, 4],
    ),
}


@given(
    name=st.sampled_from(sorted(FUSED)),
    width=st.integers(2, 6),
    ranks=st.lists(st.integers(1, 4), min_size=4, max_size=4),
    scale=st.floats(-4, 4, width=32).filter(lambda number: abs(number) > 1e-3),
    dtype=st.sampled_from(DTYPES[:3]),
    seed=st.integers(0, 99),
)
@settings(max_examples=15)
def test_stacking_and_splitting_undo_each_other(name, width, ranks, scale, dtype, seed):
    """Separate LoRAs come back from the stacked one bit for bit, and it from them."""
    modules, shares = FUSED[name]
    generator = torch.Generator().manual_seed(seed)
    separate = {
        Site("transformer", f"{module}.weight"): Lora(
            torch.randn(rank, width, generator=generator).to(dtype),
            torch.randn(share * width, rank, generator=generator).to(dtype),
            rank * scale,
        )
        for module, share, rank in zip(modules, shares, ranks, strict=False)
    }
    adapter = Adapter(deltas=separate, card=Card(family="flux"))
    encoded = encode(FORMATS["kohya"], adapter)
    assert f"{name}.lora_up.weight" in encoded.tensors
    read = _read(encoded)
    assert read.deltas.keys() == separate.keys()
    for site, delta in separate.items():
        own = read.deltas[site]
        assert torch.equal(own.down, delta.down)
        assert torch.equal(own.up, delta.up)
        # The stacked alpha is kept in float64 where the factors' type would change it.
        assert own.alpha / own.rank == pytest.approx(delta.alpha / delta.rank, rel=1e-15)
    stacked = {key: tensor for key, tensor in encoded.tensors.items() if key.startswith(name)}
    _assert_same_tensors(encode(FORMATS["kohya"], read.with_card(name="new")).tensors, stacked)


@given(
    name=st.sampled_from(sorted(FUSED)),
    width=st.integers(2, 6),
    rank=st.integers(1, 4),
    alpha=st.none() | st.floats(-4, 4, width=32),
    dtype=st.sampled_from(DTYPES),
    seed=st.integers(0, 99),
)
@settings(max_examples=15)
def test_splitting_and_stacking_keep_a_shared_factor(name, width, rank, alpha, dtype, seed):
    generator = torch.Generator().manual_seed(seed)
    rows = sum(FUSED[name][1]) * width
    tensors = {
        f"{name}.lora_down.weight": torch.randn(rank, width, generator=generator).to(dtype),
        f"{name}.lora_up.weight": torch.randn(rows, rank, generator=generator).to(dtype),
    }
    if alpha is not None:
        tensors[f"{name}.alpha"] = torch.tensor(alpha)
    read = decode(tensors, {"ss_base_model_version": "flux1"})
    down, up = (tensors[f"{name}.lora_{end}.weight"] for end in ("down", "up"))
    whole = Lora(down, up, rank if alpha is None else alpha).delta(None)
    split = torch.cat(
        [read.deltas[Site("transformer", f"{m}.weight")].delta(None) for m in FUSED[name][0]]
    )
    # Factors of half precision are multiplied in float32 either way.
    torch.testing.assert_close(split, whole, rtol=1e-6, atol=1e-6)
    _assert_same_tensors(encode(FORMATS["kohya"], read).tensors, tensors)
    anew = encode(FORMATS["kohya"], read.with_card(name="new")).tensors
    assert all(torch.equal(anew[key], tensors[key]) for key in tensors if "alpha" not in key)


def _assert_same_tensors(found, expected):
    for key, tensor in expected.items():
        assert (found[key].dtype, found[key].shape) == (tensor.dtype, tensor.shape), key
        assert torch.equal(found[key], tensor), key


@given(
    width=st.integers(1, 6),
    rank=st.integers(1, 4),
    dtype=st.sampled_from(DTYPES),
    seed=st.integers(0, 99),
)
@settings(max_examples=15)
def test_scale_and_shift_change_places_and_back(width, rank, dtype, seed):
    name = "lora_unet_final_layer_adaLN_modulation_1"
    generator = torch.Generator().manual_seed(seed)
    down = torch.randn(rank, width, generator=generator).to(dtype)
    up = torch.randn(2 * width, rank, generator=generator).to(dtype)
    tensors = {f"{name}.lora_down.weight": down, f"{name}.lora_up.weight": up}
    read = decode(tensors, {"ss_base_model_version": "flux1"})
    ((_, delta),) = read.deltas.items()
    assert torch.equal(delta.up, torch.cat([up[width:], up[:width]]))
    for again in (read, read.with_card(name="new")):
        _assert_same_tensors(encode(FORMATS["kohya"], again).tensors, tensors)


# Magnitudes.


@given(data=st.data(), format=ANY_FORMAT)
@settings(max_examples=15)
def test_the_axis_of_a_magnitude_survives(data, format):
    """Also where rows and columns are as many, and only the shape in the file can tell."""
    size = data.draw(st.integers(2, 6))
    axis = (
        "output" if format in NAMES_EVERY_ALPHA else data.draw(st.sampled_from(["output", "input"]))
    )
    kernel = data.draw(st.sampled_from([(), (3, 3), (1, 1)]))
    form = FORMS["dora" if axis == "output" else "dora of inputs"]
    square = Size(rows=size, columns=size, kernel=kernel, rank=1)
    delta = form.delta(square, 2.0, torch.float32, size)
    path = "mid_block.resnets.0.conv1" if kernel else "mid_block.attentions.0.proj_in"
    site = Site("unet", f"{path}.weight")
    adapter = Adapter(deltas={site: delta}, card=Card(family="sd1"))
    read = _read(encode(FORMATS[format], adapter)).deltas[site]
    assert read.axis == axis
    assert torch.equal(read.magnitude.flatten(), delta.magnitude.flatten())


# Alphas.


@given(
    alpha=st.floats(-100, 100, allow_subnormal=False).filter(lambda number: abs(number) > 1e-3),
    rank=st.integers(1, 8),
    dtype=st.sampled_from(DTYPES),
)
@settings(max_examples=40)
def test_an_alpha_that_is_written_is_the_alpha_that_is_read(alpha, rank, dtype):
    """In the type of the factors where that can hold it, else in one that can."""
    site = Site("unet", "conv_in.weight")
    delta = Lora(torch.ones(rank, 4).to(dtype), torch.ones(6, rank).to(dtype), alpha)
    adapter = Adapter(deltas={site: delta}, card=Card(family="sd1"))
    for codec in (Kohya(), *(FORMATS[each] for each in ("comfyui", "onetrainer", "native"))):
        assert _read(encode(codec, adapter)).deltas[site].alpha == alpha
