"""Weights that a file stacks by rows: split when read, stacked again when written."""

from __future__ import annotations

import pytest
import torch

from loraloom.adapters.adapter import Adapter
from loraloom.adapters.card import Card
from loraloom.adapters.kinds import KINDS
from loraloom.adapters.lora import Lora
from loraloom.adapters.site import Site
from loraloom.adapters.span import Span
from loraloom.errors import ModelError
from loraloom.formats.coding import decode, encode
from loraloom.formats.split_qkv import with_trained_scale
from loraloom.formats.table import FORMATS

QKV = "lora_unet_double_blocks_0_img_attn_qkv"
LINEAR1 = "lora_unet_single_blocks_3_linear1"
DOUBLE = [Site("transformer", f"transformer_blocks.0.attn.to_{n}.weight") for n in "qkv"]
SINGLE = [
    *(Site("transformer", f"single_transformer_blocks.3.attn.to_{n}.weight") for n in "qkv"),
    Site("transformer", "single_transformer_blocks.3.proj_mlp.weight"),
]
# Name, the sites it stacks, the rows of each, and the columns.
STACKED = pytest.mark.parametrize(
    ("name", "sites", "rows"), [(QKV, DOUBLE, (4, 4, 4)), (LINEAR1, SINGLE, (4, 4, 4, 16))]
)
COLUMNS = 4


def _random(*shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def _low_rank(name, rows, rank=2, alpha=3.0):
    return {
        f"{name}.lora_down.weight": _random(rank, COLUMNS),
        f"{name}.lora_up.weight": _random(sum(rows), rank, seed=1),
        f"{name}.alpha": torch.tensor(alpha),
    }


def _stacked(adapter, sites):
    return torch.cat([adapter.deltas[site].delta(None) for site in sites])


def _assert_equal(found, expected):
    assert found.keys() == expected.keys()
    for key, tensor in expected.items():
        assert (found[key].dtype, found[key].shape) == (tensor.dtype, tensor.shape), key
        assert torch.equal(found[key], tensor), key


@STACKED
def test_a_low_rank_update_is_split_and_stacked_at_its_own_rank(name, sites, rows):
    tensors = _low_rank(name, rows)
    adapter = decode(tensors, {})
    assert tuple(adapter.deltas) == tuple(sites)
    whole = 1.5 * (tensors[f"{name}.lora_up.weight"] @ tensors[f"{name}.lora_down.weight"])
    torch.testing.assert_close(_stacked(adapter, sites), whole)
    assert [delta.claimed_shape[0] for delta in adapter.deltas.values()] == list(rows)
    # As it was read, and anew.
    for again in (adapter, adapter.with_card(name="new")):
        _assert_equal(encode(FORMATS["kohya"], again).tensors, tensors)
    assert adapter.card.family == "flux"


@STACKED
@pytest.mark.parametrize("kind", ["dora", "doha", "loha", "full", "ia3"])
def test_other_kinds_are_cut_into_rows_too(name, sites, rows, kind):
    total = sum(rows)
    pair = {"lora_down.weight": (2, COLUMNS), "lora_up.weight": (total, 2)}
    hadamard = {
        "hada_w1_a": (total, 2),
        "hada_w1_b": (2, COLUMNS),
        "hada_w2_a": (total, 2),
        "hada_w2_b": (2, COLUMNS),
    }
    scale = {"dora_scale": (total, 1)}
    shapes = {
        "dora": {**pair, **scale},
        "doha": {**hadamard, **scale},
        "loha": hadamard,
        "full": {"diff": (total, COLUMNS), "diff_b": (total,)},
        "ia3": {"weight": (total,)},
    }
    sizes = enumerate(shapes[kind].items())
    tensors = {f"{name}.{end}": _random(*shape, seed=n) for n, (end, shape) in sizes}
    if kind == "ia3":
        tensors[f"{name}.on_input"] = torch.tensor(0.0)
    adapter = decode(tensors, {})
    weight = _random(total, COLUMNS, seed=9)
    if kind == "ia3" and name == LINEAR1:
        # A factor for each row does not tell the columns, without which rows are not counted.
        (place,) = adapter.deltas
        assert (place, place.rows) == (Span(tuple(sites)), (None,) * len(sites))
        found = adapter.deltas[place].delta(weight)
    else:
        pieces = zip(sites, weight.split(rows), strict=True)
        found = torch.cat([adapter.deltas[site].delta(own) for site, own in pieces])
    parts = {part: tensors[f"{name}.{end}"] for part, end in PARTS[kind].items()}
    torch.testing.assert_close(found, KINDS[kind].from_parts(parts, None).delta(weight))
    if kind == "full":
        biases = [adapter.deltas[Site(s.part, f"{s.module}.bias")].diff for s in sites]
        assert torch.equal(torch.cat(biases), tensors[f"{name}.diff_b"])
    for again in (adapter, adapter.with_card(name="new")):
        found = encode(FORMATS["kohya"], again).tensors
        _assert_equal({key: found[key] for key in tensors}, tensors)


HADAMARD = {part: f"hada_{part}" for part in ("w1_a", "w1_b", "w2_a", "w2_b")}
PARTS = {
    "dora": {
        "down": "lora_down.weight",
        "up": "lora_up.weight",
        "magnitude": "dora_scale",
    },
    "doha": {**HADAMARD, "magnitude": "dora_scale"},
    "loha": HADAMARD,
    "full": {"diff": "diff"},
    "ia3": {"scale": "weight"},
}


@STACKED
def test_a_kronecker_product_stays_whole(name, sites, rows):
    tensors = {
        f"{name}.lokr_w1": _random(2, 2),
        f"{name}.lokr_w2": _random(sum(rows) // 2, COLUMNS // 2),
        f"{name}.alpha": torch.tensor(1.0),
    }
    adapter = decode(tensors, {})
    ((place, delta),) = adapter.deltas.items()
    assert place == Span(tuple(sites))
    assert place.rows == rows
    assert delta.claimed_shape == (sum(rows), COLUMNS)
    for format in ("kohya", "comfyui", "native"):
        edited = adapter.with_card(name="new")
        encoded = encode(FORMATS[format], edited)
        ((read_place, read),) = decode(encoded.tensors, encoded.metadata).deltas.items()
        assert (read_place, read_place.rows) == (place, rows)
        _assert_equal(read.parts(), delta.parts())
    for format in ("diffusers", "peft", "onetrainer"):
        with pytest.raises(ModelError) as caught:
            encode(FORMATS[format], adapter)
        assert caught.value.details["places"] == (place,)


def _separate(sites, rows, ranks, scales, dtype=torch.float32):
    deltas = {
        site: Lora(
            _random(rank, COLUMNS, seed=n).to(dtype),
            _random(count, rank, seed=n + 10).to(dtype),
            rank * scale,
        )
        for n, (site, count, rank, scale) in enumerate(zip(sites, rows, ranks, scales, strict=True))
    }
    return Adapter(deltas=deltas, card=Card(family="flux"))


@STACKED
@pytest.mark.parametrize("ranks", [(2, 2, 2, 2), (1, 3, 2, 4)])
def test_separate_updates_are_put_into_blocks_and_come_out_as_they_were(name, sites, rows, ranks):
    ranks = ranks[: len(sites)]
    adapter = _separate(sites, rows, ranks, [0.5] * len(sites))
    encoded = encode(FORMATS["kohya"], adapter)
    up, down = (encoded.tensors[f"{name}.lora_{end}.weight"] for end in ("up", "down"))
    assert (up.shape, down.shape) == ((sum(rows), sum(ranks)), (sum(ranks), COLUMNS))
    whole = float(encoded.tensors[f"{name}.alpha"]) / sum(ranks) * (up @ down)
    torch.testing.assert_close(whole, _stacked(adapter, sites))
    read = decode(encoded.tensors, encoded.metadata)
    assert read.origin.warnings == ()
    for site, delta in adapter.deltas.items():
        assert read.deltas[site].alpha == delta.alpha
        _assert_equal(read.deltas[site].parts(), delta.parts())
    _assert_equal(encode(FORMATS["kohya"], read).tensors, encoded.tensors)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16])
@pytest.mark.parametrize(("scales", "exact"), [((1, 0.25, 4), True), ((0.3, 1, 0.7), False)])
def test_different_scales_are_brought_to_one(scales, exact, dtype):
    """Bit for bit where they differ by powers of two; else each factor is rounded once."""
    adapter = _separate(DOUBLE, (4, 4, 4), (2, 2, 2), scales, dtype)
    read = decode(encode(FORMATS["kohya"], adapter).tensors, {})
    for site in DOUBLE:
        found, expected = read.deltas[site].delta(None), adapter.deltas[site].delta(None)
        if exact:
            assert torch.equal(found, expected)
        else:
            near = expected.abs().max() * 2 * torch.finfo(dtype).eps
            assert (found - expected).abs().max() <= near


def test_a_weight_without_an_update_gets_zeros():
    adapter = _separate(DOUBLE, (4, 4, 4), (2, 3, 2), (1, 1, 1))
    deltas = {site: delta for site, delta in adapter.deltas.items() if site != DOUBLE[1]}
    encoded = encode(FORMATS["kohya"], Adapter(deltas=deltas, card=adapter.card))
    read = decode(encoded.tensors, encoded.metadata)
    assert not read.deltas[DOUBLE[1]].delta(None).any()
    for site, delta in deltas.items():
        torch.testing.assert_close(read.deltas[site].delta(None), delta.delta(None))


@pytest.mark.parametrize("missing", [0, 3])
def test_rows_that_nothing_tells_are_not_guessed(missing):
    adapter = _separate(SINGLE, (4, 4, 4, 16), (2, 2, 2, 2), (1, 1, 1, 1))
    deltas = {s: delta for n, (s, delta) in enumerate(adapter.deltas.items()) if n != missing}
    incomplete = Adapter(deltas=deltas, card=adapter.card)
    if missing == 0:
        assert decode(encode(FORMATS["kohya"], incomplete).tensors, {}).deltas.keys() == set(SINGLE)
        return
    with pytest.raises(ModelError) as caught:
        encode(FORMATS["kohya"], incomplete)
    assert set(caught.value.details["places"]) == set(deltas)


def test_different_kinds_side_by_side_cannot_be_stacked():
    adapter = _separate(DOUBLE, (4, 4, 4), (2, 2, 2), (1, 1, 1))
    full = KINDS["full"].from_parts({"diff": torch.ones(4, COLUMNS)}, None)
    mixed = Adapter(deltas={**adapter.deltas, DOUBLE[1]: full}, card=adapter.card)
    with pytest.raises(ModelError) as caught:
        encode(FORMATS["kohya"], mixed)
    assert set(caught.value.details["places"]) == set(DOUBLE)


@STACKED
def test_split_qkv_files_are_known_and_read_literally(name, sites, rows):
    """As sd-scripts saves them: all blocks of one rank, at the alpha of one of them."""
    count, rank, alpha = len(sites), 2, 1.0
    trained = _separate(sites, rows, [rank] * count, [alpha / rank] * count)
    downs, ups = ([d.parts()[p] for d in trained.deltas.values()] for p in ("down", "up"))
    tensors = {
        f"{name}.lora_down.weight": torch.cat(downs),
        f"{name}.lora_up.weight": torch.block_diag(*ups),
        f"{name}.alpha": torch.tensor(alpha),
    }
    read = decode(tensors, {}, where="weak.safetensors")
    (warned,) = read.origin.warnings
    assert warned.code == "format.block_sparse"
    assert warned.details["where"] == "weak.safetensors"
    literal = alpha / (rank * count) * (torch.block_diag(*ups) @ torch.cat(downs))
    torch.testing.assert_close(_stacked(read, sites), literal)
    _assert_equal(encode(FORMATS["kohya"], read).tensors, tensors)
    torch.testing.assert_close(count * literal, _stacked(trained, sites))
    stronger = with_trained_scale(read)
    torch.testing.assert_close(_stacked(stronger, sites), _stacked(trained, sites))
    assert with_trained_scale(stronger) is stronger


def test_an_update_that_happens_to_have_a_zero_is_no_block():
    tensors = _low_rank(QKV, (4, 4, 4), rank=3)
    up = tensors[f"{QKV}.lora_up.weight"]
    up[0:4, 1:] = 0
    up[4:8, :1] = 0
    read = decode(tensors, {})
    assert read.origin.warnings == ()
    assert {delta.rank for delta in read.deltas.values()} == {3}


NORM_OUT = "lora_unet_final_layer_adaLN_modulation_1"


@pytest.mark.parametrize("kind", ["lora", "lokr", "full"])
def test_scale_and_shift_change_places(kind):
    """diffusers has the scale first, everybody else the shift; doing it twice is doing nothing."""
    tensors = {
        "lora": {f"{NORM_OUT}.lora_down.weight": _random(2, 4)}
        | {f"{NORM_OUT}.lora_up.weight": _random(8, 2, seed=1)},
        "lokr": {
            f"{NORM_OUT}.lokr_w1": _random(2, 2),
            f"{NORM_OUT}.lokr_w2": _random(4, 2, seed=1),
        },
        "full": {f"{NORM_OUT}.diff": _random(8, 4)},
    }[kind]
    parts = {key.rpartition(f"{NORM_OUT}.")[2]: tensor for key, tensor in tensors.items()}
    names = {
        "lora": {"down": "lora_down.weight", "up": "lora_up.weight"},
        "lokr": {"w1": "lokr_w1", "w2": "lokr_w2"},
        "full": {"diff": "diff"},
    }[kind]
    literal = KINDS[kind].from_parts({p: parts[end] for p, end in names.items()}, None).delta(None)
    adapter = decode(tensors, {"ss_base_model_version": "flux1"})
    ((site, delta),) = adapter.deltas.items()
    assert site == Site("transformer", "norm_out.linear.weight")
    shift, scale = literal.chunk(2)
    torch.testing.assert_close(delta.delta(None), torch.cat([scale, shift]))
    for again in (adapter, adapter.with_card(name="new")):
        _assert_equal(
            {k: t for k, t in encode(FORMATS["kohya"], again).tensors.items() if k in tensors},
            tensors,
        )


def test_halves_that_a_kind_cannot_exchange_are_refused():
    tensors = {f"{NORM_OUT}.lokr_w1": _random(3, 2), f"{NORM_OUT}.lokr_w2": _random(4, 2)}
    with pytest.raises(ModelError) as caught:
        decode(tensors, {"ss_base_model_version": "flux1"})
    assert caught.value.code == "format.halves"


@pytest.mark.parametrize(("rows", "is_swapped"), [(8, True), (24, False)])
def test_the_last_text_modulation_of_sd3_has_two_rows_and_the_others_six(rows, is_swapped):
    name = "lora_unet_joint_blocks_3_context_block_adaLN_modulation_1"
    tensors = {f"{name}.diff": _random(rows, 4)}
    ((_, delta),) = decode(tensors, {}).deltas.items()
    diff = tensors[f"{name}.diff"]
    swapped = torch.cat(diff.chunk(2)[::-1])
    assert torch.equal(delta.diff, swapped if is_swapped else diff)


def test_rows_that_cannot_be_shared_out_are_refused():
    tensors = _low_rank(QKV, (4, 4, 5))
    with pytest.raises(ModelError) as caught:
        decode(tensors, {})
    assert caught.value.code == "format.rows"
    assert "attn.to_q" in str(caught.value)
