"""Which format has words for which kind, and that what it says is exact."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from loraloom.adapters.adapter import Adapter
from loraloom.adapters.card import Card
from loraloom.adapters.kinds import KINDS
from loraloom.adapters.site import Site
from loraloom.composing import BaseWeights, Truncation, approximate
from loraloom.errors import ModelError
from loraloom.formats.coding import decode, encode
from loraloom.formats.table import FORMATS, WRITTEN
from tests.formats.examples import EXAMPLES, deltas
from tests.formats.expressible import EXPRESSIBLE, LYCORIS, REWRITTEN

ATTENTION = "mid_block.attentions.0.transformer_blocks.0.attn1"
LINEAR = Site("unet", f"{ATTENTION}.to_q.weight")
CONVOLUTION = Site("unet", "mid_block.resnets.0.conv1.weight")
NORM = Site("unet", "mid_block.resnets.0.norm1.weight")
PLACES = {2: LINEAR, 4: CONVOLUTION, 1: NORM}

CASES = [
    (format, kind, index)
    for format in FORMATS
    for kind, examples in EXAMPLES.items()
    for index in range(len(examples))
]


def _adapter(kind, index, dtype=torch.float32, alpha=1.5):
    delta = list(deltas(kind, dtype, alpha))[index]
    dimensions = 4 if delta.claimed_shape[1:2] == (54,) else len(delta.claimed_shape)
    return Adapter(deltas={PLACES[dimensions]: delta}, card=Card(family="sd1", name="cat"))


def _through(format, adapter):
    encoded = encode(FORMATS[format], adapter)
    return decode(encoded.tensors, encoded.metadata, encoded.config), encoded


def _assert_same(read, written):
    assert read.deltas.keys() == written.deltas.keys()
    assert read.card == written.card
    for place, delta in written.deltas.items():
        other = read.deltas[place]
        assert other.kind == delta.kind
        # Without a rank alpha means nothing, and PEFT has another way to say nothing.
        assert other.alpha == delta.alpha or delta.rank is None
        assert dict(other.settings) == dict(delta.settings)
        assert other.parts().keys() == delta.parts().keys()
        for part, tensor in delta.parts().items():
            found = other.parts()[part].reshape(tensor.shape)
            assert found.dtype == tensor.dtype
            assert torch.equal(found, tensor), (place, part)


def _assert_advice_is_true(format, adapter, error):
    """The formats named can write it; a low-rank update, if that is named, this one can too."""
    others = error.details["others"].split(", ")
    assert "native" in others
    for name in WRITTEN:
        if name in others:
            encode(FORMATS[name], adapter)
        else:
            with pytest.raises(ModelError):
                encode(FORMATS[name], adapter)
    weights = {
        place: torch.randn([side or 1 for side in delta.claimed_shape])
        for place, delta in adapter.deltas.items()
    }
    low = approximate(adapter, Truncation.to(2), BaseWeights.of(weights)).adapter
    if error.code == "format.cannot_express":
        assert error.details["low"] == tuple(adapter.deltas)
        assert not error.details["left_out"]
        encode(FORMATS[format], low)
        return
    assert error.code == "format.no_way"
    with pytest.raises(ModelError):
        encode(FORMATS[format], low)


def _assert_rewritten(format, adapter):
    """Another form of the same rank and, but for one rounding to float32, of the same update."""
    ((place, delta),) = adapter.deltas.items()
    read, _ = _through(format, adapter)
    found = read.deltas[place]
    assert (found.kind, found.rank, found.scale) == (delta.kind, delta.rank, delta.scale)
    assert "mid" not in found.parts()
    parts = {name: part.double() for name, part in delta.parts().items()}
    up, down = (parts[name].flatten(1) for name in ("up", "down"))
    expected = torch.einsum("oa,abhw,bi->oihw", up, parts["mid"], down) * delta.scale
    torch.testing.assert_close(found.delta(None).double(), expected, rtol=1e-6, atol=1e-7)


def test_the_table_is_whole():
    assert set(EXPRESSIBLE) == set(FORMATS)
    assert set(LYCORIS) == set(KINDS) == set(EXAMPLES)


@pytest.mark.parametrize(("format", "kind", "index"), CASES)
def test_what_is_written_is_read_bit_for_bit_or_refused_by_name(format, kind, index):
    adapter = _adapter(kind, index)
    (place,) = adapter.deltas
    if index in REWRITTEN.get(format, {}).get(kind, ()):
        _assert_rewritten(format, adapter)
        return
    if index not in EXPRESSIBLE[format].get(kind, ()):
        with pytest.raises(ModelError) as caught:
            encode(FORMATS[format], adapter)
        assert caught.value.details["places"] == (place,)
        assert str(place) in str(caught.value)
        _assert_advice_is_true(format, adapter, caught.value)
        return
    read, encoded = _through(format, adapter)
    if format == "peft" and kind == "ia3":
        # PEFT keeps 1 + scale: near, and exact from then on.
        tensor, other = (a.deltas[place].parts()["scale"] for a in (adapter, read))
        torch.testing.assert_close(other.flatten(), tensor, rtol=1e-6, atol=1e-7)
    else:
        _assert_same(read, adapter)
    again = encode(FORMATS[format], read)
    assert (again.metadata, again.config) == (encoded.metadata, encoded.config)
    assert again.tensors.keys() == encoded.tensors.keys()
    for key, tensor in encoded.tensors.items():
        assert again.tensors[key].shape == tensor.shape
        assert torch.equal(again.tensors[key], tensor), key


EXACT = [(f, k, i) for f, k, i in CASES if i in EXPRESSIBLE[f].get(k, ())]


@pytest.mark.parametrize(("format", "kind"), sorted({(f, k) for f, k, _ in EXACT}))
def test_the_update_is_the_same_in_every_number_type(format, kind):
    weight = torch.linspace(-1, 1, 4 * 6 * 9, dtype=torch.float64).reshape(4, 6, 3, 3)
    weights = {4: weight, 2: weight[:, :, 0, 0], 1: weight[:, 0, 0, 0]}
    for dtype in (torch.float64, torch.float16, torch.bfloat16):
        for index in sorted(EXPRESSIBLE[format][kind]):
            adapter = _adapter(kind, index, dtype)
            read, _ = _through(format, adapter)
            ((place, delta),) = adapter.deltas.items()
            own = weights[4 if place == CONVOLUTION else 1 if place == NORM else 2]
            found, expected = read.deltas[place].delta(own), delta.delta(own)
            if format == "peft" and kind == "ia3":
                # Rounded once, at 1 + scale.
                ulp = torch.finfo(dtype).eps
                torch.testing.assert_close(found, expected, rtol=0, atol=2 * ulp)
            else:
                assert torch.equal(found, expected), (dtype, index)


@pytest.mark.parametrize("format", ["kohya", "native", "comfyui"])
def test_kinds_ranks_and_missing_alphas_may_mix(format):
    """Every kind at once, each at a place of its own."""
    blocks = iter(range(100))
    mixed = {}
    for kind in sorted(set(KINDS) - {"ia3"}):
        for index, alpha in zip(sorted(LYCORIS[kind]), (1.5, None, 3.0, 0.5, 7.0), strict=False):
            ((place, delta),) = _adapter(kind, index, alpha=alpha).deltas.items()
            path = place.path.replace("mid_block", f"down_blocks.{next(blocks)}")
            mixed[Site("unet", path)] = delta
    adapter = Adapter(deltas=mixed, card=Card(family="sd1"))
    read, _ = _through(format, adapter)
    _assert_same(read, adapter)
    assert {delta.kind for delta in read.deltas.values()} == set(KINDS) - {"ia3"}


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
@pytest.mark.parametrize("format", sorted(REWRITTEN))
def test_a_middle_factor_is_multiplied_away_without_rounding_to_half(format, dtype):
    adapter = _adapter("lora", 2, dtype)
    _assert_rewritten(format, adapter)
    (delta,) = _through(format, adapter)[0].deltas.values()
    assert {name: part.dtype for name, part in delta.parts().items()} == {
        "down": torch.float32,
        "up": dtype,
    }


@pytest.mark.parametrize("format", ["peft", "diffusers"])
@pytest.mark.parametrize("other", ["loha", "dora"])
def test_in_a_mix_the_weights_named_for_low_rank_are_those_that_help(format, other):
    """PEFT has one kind per network; where most are of another, the LoRA itself has no place."""
    ((_, lora),) = _adapter("lora", 0).deltas.items()
    ((_, delta),) = _adapter(other, 0).deltas.items()
    names = {"to_q": delta, "to_k": delta, "to_v": lora}
    deltas = {Site("unet", f"{ATTENTION}.{name}.weight"): each for name, each in names.items()}
    adapter = Adapter(deltas=deltas, card=Card(family="sd1"))
    with pytest.raises(ModelError) as caught:
        encode(FORMATS[format], adapter)
    assert caught.value.code == "format.cannot_express"
    assert caught.value.details["low"] == tuple(deltas)[:2]
    low = {
        place: lora if place in caught.value.details["low"] else e for place, e in deltas.items()
    }
    encode(FORMATS[format], replace(adapter, deltas=low))


@pytest.mark.parametrize("format", ["peft", "diffusers"])
def test_norms_and_biases_alone_do_not_make_weights_odd(format):
    """As many full differences of vectors as LoRAs: these are still what the format is of."""
    ((_, lora),) = _adapter("lora", 0).deltas.items()
    ((_, full),) = _adapter("full", 2).deltas.items()
    deltas = {NORM: full, Site("unet", f"{NORM.module}.bias"): full, LINEAR: lora}
    with pytest.raises(ModelError) as caught:
        encode(FORMATS[format], Adapter(deltas=deltas, card=Card(family="sd1")))
    details = caught.value.details
    assert details["places"] == details["left_out"] == tuple(deltas)[:2]
    assert details["low"] == ()
    with pytest.raises(ModelError) as caught:
        encode(FORMATS[format], Adapter(deltas={NORM: full}, card=Card(family="sd1")))
    assert caught.value.code == "format.no_way"


@pytest.mark.parametrize("format", FORMATS)
def test_a_refusal_names_the_format_that_was_asked_for_and_never_advises_it(format):
    adapter = _adapter("oft", 2)
    if 2 in EXPRESSIBLE[format].get("oft", ()):
        encode(FORMATS[format], adapter)
        return
    with pytest.raises(ModelError) as caught:
        encode(FORMATS[format], adapter)
    assert caught.value.details["format"] == format
    assert format not in caught.value.details["others"].split(", ")


def test_one_network_of_two_kinds_is_no_folder_of_pefts():
    first, second = _adapter("lora", 0), _adapter("loha", 1)
    adapter = replace(first, deltas={**first.deltas, **second.deltas})
    with pytest.raises(ModelError) as caught:
        encode(FORMATS["peft"], adapter)
    assert caught.value.details["places"] == tuple(second.deltas)


@pytest.mark.parametrize(
    ("format", "weight", "bias"),
    [("kohya", "w_norm", "b_norm"), ("comfyui", "w_norm", "b_norm")],
)
def test_norms_and_biases_have_their_own_endings(format, weight, bias):
    full = KINDS["full"]
    sites = [NORM, Site("unet", f"{NORM.module}.bias"), Site("unet", f"{CONVOLUTION.module}.bias")]
    adapter = Adapter(
        deltas={site: full.from_parts({"diff": torch.ones(4)}, None) for site in sites},
        card=Card(family="sd1"),
    )
    encoded = encode(FORMATS[format], adapter)
    assert [key.rpartition(".")[2] for key in encoded.tensors] == [weight, bias, "diff_b"]
    assert set(decode(encoded.tensors, {}).deltas) == set(sites)
