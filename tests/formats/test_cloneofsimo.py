"""The first trainer's files, whose layers have numbers."""

from __future__ import annotations

import json

import pytest
import torch

from loraloom.errors import ModelError
from loraloom.formats.cloneofsimo_order import TEXT_ENCODERS, UNETS
from loraloom.formats.coding import decode, encode
from loraloom.formats.files import read_adapter, write_adapter
from loraloom.formats.table import FORMATS

# The widths of Stable Diffusion 1.5's layers, a tenth of their size.
WIDTHS = {"down_blocks.0": 32, "down_blocks.1": 64, "down_blocks.2": 128, "mid_block": 128}
WIDTHS |= {"up_blocks.1": 128, "up_blocks.2": 64, "up_blocks.3": 32}


def _shape(site):
    """Return (rows, columns) of a layer of a narrow Stable Diffusion 1."""
    if site.part == "text_encoder":
        return 24, 24
    width = next(w for start, w in WIDTHS.items() if site.path.startswith(start))
    if site.module.endswith(("attn2.to_k", "attn2.to_v")):
        return width, 768
    return (8 * width, width) if site.module.endswith("ff.net.0.proj") else (width, width)


def _file(order, part, rank=1):
    generator = torch.Generator().manual_seed(3)
    tensors = {}
    for index, site in enumerate(order.sites):
        rows, columns = _shape(site)
        tensors[f"{part}:{index}:up"] = torch.randn(rows, rank, generator=generator)
        tensors[f"{part}:{index}:down"] = torch.randn(rank, columns, generator=generator)
    return tensors


def test_the_counts_are_stable_diffusions():
    """144 and 48: cloneofsimo/lora, example_loras/analog_svd_rank4.safetensors."""
    assert {len(order.sites) for order in UNETS} == {144}
    assert len(TEXT_ENCODERS[0].sites) == 48
    # Its item 4 is (8 * 320, 320), items 6 and 7 are as wide as the conditioning.
    names = [UNETS[0].sites[n].module.partition("transformer_blocks.0.")[2] for n in (4, 6, 7)]
    assert names == ["ff.net.0.proj", "attn2.to_k", "attn2.to_v"]


@pytest.mark.parametrize("order", UNETS)
def test_the_shapes_tell_the_order(order):
    tensors = _file(order, "unet") | _file(TEXT_ENCODERS[0], "text_encoder")
    adapter = decode(tensors, {"unet": '["CrossAttention", "GEGLU"]'})
    assert adapter.origin.dialect == "cloneofsimo"
    assert adapter.card.family == "sd1"
    for index, site in enumerate(order.sites):
        delta = adapter.deltas[site]
        assert delta.claimed_shape == _shape(site)
        assert delta.scale == 1
        assert torch.equal(delta.up, tensors[f"unet:{index}:up"])
    assert encode(FORMATS["cloneofsimo"], adapter).tensors.keys() == tensors.keys()


def test_words_are_kept_and_converted():
    tensors = _file(TEXT_ENCODERS[0], "text_encoder") | {"<s1>": torch.arange(768.0)}
    adapter = decode(tensors, {"<s1>": "<embed>", "unet": "[]"})
    assert adapter.embeddings["<s1>"]["emb_params"].shape == (1, 768)
    again = encode(FORMATS["cloneofsimo"], adapter).tensors
    assert torch.equal(again["<s1>"], tensors["<s1>"])
    kohya = encode(FORMATS["kohya"], adapter)
    assert kohya.tensors["bundle_emb.<s1>.emb_params"].shape == (1, 768)
    back = decode(kohya.tensors, kohya.metadata)
    assert torch.equal(back.embeddings["<s1>"]["emb_params"][0], tensors["<s1>"])


@pytest.mark.parametrize(
    ("part", "order"), [("unet", UNETS[0]), ("text_encoder", TEXT_ENCODERS[0])]
)
def test_pickled_lists_are_read(tmp_path, part, order):
    tensors = _file(order, part)
    path = tmp_path / "lora.pt"
    torch.save(list(tensors.values()), path)
    adapter = read_adapter(path)
    assert tuple(adapter.deltas) == order.sites
    write_adapter(adapter, tmp_path / "new.safetensors", "kohya")
    again = read_adapter(tmp_path / "new.safetensors")
    for site, delta in adapter.deltas.items():
        assert torch.equal(again.deltas[site].delta(None), delta.delta(None))


def test_it_is_written_as_it_is_read():
    adapter = decode(_file(UNETS[0], "unet"), {}).with_card(name="cat")
    encoded = encode(FORMATS["cloneofsimo"], adapter)
    assert encoded.metadata["unet:143:rank"] == "1"
    assert json.loads(encoded.metadata["unet"])
    assert decode(encoded.tensors, encoded.metadata).deltas.keys() == adapter.deltas.keys()


@pytest.mark.parametrize("change", ["one missing", "wrong shape", "one more"])
def test_numbers_that_no_model_has_are_not_guessed_at(change):
    tensors = _file(TEXT_ENCODERS[0], "text_encoder")
    if change == "one missing":
        del tensors["text_encoder:47:up"], tensors["text_encoder:47:down"]
    elif change == "wrong shape":
        tensors["text_encoder:3:up"] = torch.ones(25, 1)
    else:
        tensors["text_encoder:48:up"] = tensors["text_encoder:48:down"] = torch.ones(1, 1)
    with pytest.raises(ModelError) as caught:
        decode(tensors, {})
    assert caught.value.code == "format.unknown"


def test_an_adapter_on_other_layers_cannot_be_written():
    adapter = decode(_file(TEXT_ENCODERS[0], "text_encoder"), {})
    deltas = dict(list(adapter.deltas.items())[:-1])
    with pytest.raises(ModelError) as caught:
        encode(FORMATS["cloneofsimo"], type(adapter)(deltas=deltas, card=adapter.card))
    assert set(caught.value.details["places"]) == set(deltas)
