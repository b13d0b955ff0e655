"""What every codec promises, for each in the table."""

from __future__ import annotations

import itertools

import pytest
import torch

from loraloom.adapters.adapter import Adapter
from loraloom.adapters.lora import Lora
from loraloom.adapters.site import Site
from loraloom.errors import ModelError, UsageError
from loraloom.formats.coding import decode, encode
from loraloom.formats.contents import Contents
from loraloom.formats.table import CODECS, FORMATS, codec_named, detect

# Names, shapes and scales that every codec can express: the whole attention of a text encoder.
SITES = [
    Site("text_encoder", f"text_model.encoder.layers.{layer}.self_attn.{name}.weight")
    for layer in range(12)
    for name in ("k_proj", "v_proj", "q_proj", "out_proj")
]
EVERY_CODEC = pytest.mark.parametrize("codec", CODECS.values(), ids=CODECS.keys())


@pytest.fixture
def common(card) -> Adapter:
    """Return an adapter that every codec can express."""
    generator = torch.Generator().manual_seed(0)
    deltas = {
        site: Lora(
            torch.randn(rank, 6, generator=generator),
            torch.randn(6, rank, generator=generator),
            float(rank),
        )
        for rank, site in zip(itertools.cycle((1, 2, 3)), SITES, strict=False)
    }
    return Adapter(deltas=deltas, card=card)


def _contents(encoded, *more):
    shapes = {key: tuple(tensor.shape) for key, tensor in encoded.tensors.items()}
    shapes |= dict.fromkeys(more, (2, 2))
    return Contents(where="x", shapes=shapes, metadata=encoded.metadata)


def _nameless(keys):
    return Contents(where="x", shapes=dict.fromkeys(keys, (2, 2)), metadata={})


def test_the_table_is_not_empty_and_names_are_right():
    assert {"kohya", "diffusers", "peft", "native"} <= set(CODECS) < set(FORMATS)
    assert all(codec.name == name and codec.description for name, codec in CODECS.items())
    assert all(codec_named(name) is codec for name, codec in FORMATS.items())


@EVERY_CODEC
def test_written_is_read_back_bit_for_bit(codec, common, same):
    encoded = encode(codec, common)
    same(decode(encoded.tensors, encoded.metadata, encoded.config), common)


@EVERY_CODEC
def test_read_is_written_back_as_it_was(codec, common):
    first = encode(codec, common)
    adapter = decode(first.tensors, first.metadata, first.config)
    assert adapter.origin.dialect == codec.name
    second = encode(codec, adapter)
    assert second.metadata == first.metadata
    assert second.config == first.config
    assert second.tensors.keys() == first.tensors.keys()
    for key, tensor in first.tensors.items():
        assert second.tensors[key].dtype == tensor.dtype
        assert torch.equal(second.tensors[key], tensor)


@EVERY_CODEC
def test_its_files_are_its_own(codec, common):
    contents = _contents(encode(codec, common))
    assert [c.name for c in CODECS.values() if c.matches(contents)] == [codec.name]
    assert detect(contents) is codec


@EVERY_CODEC
def test_it_claims_neither_nothing_nor_strangers(codec, common):
    contents = _contents(encode(codec, common), "stranger")
    assert not codec.matches(_nameless([]))
    assert not codec.matches(contents)
    with pytest.raises(ModelError) as caught:
        detect(contents)
    assert caught.value.code == "format.nearly"
    assert caught.value.details["nearest"] == codec.name
    assert caught.value.details["keys"] == "stranger"
    assert f"{codec.name} {len(contents.shapes) - 1}" in str(caught.value)


def test_alphas_and_ranks_survive_the_way_through_every_other_codec(common, same):
    adapter = common
    hub, *others = CODECS.values()
    # From each to the next, and between the first and each both ways.
    for each in (hub, *others, *itertools.chain.from_iterable((hub, other) for other in others)):
        encoded = encode(each, adapter)
        adapter = decode(encoded.tensors, encoded.metadata, encoded.config)
    same(adapter, common)


def test_an_unknown_file_shows_its_names():
    keys = [f"thing.{n}.number" for n in range(9)]
    with pytest.raises(ModelError) as caught:
        detect(_nameless(keys))
    assert caught.value.code == "format.unknown"
    assert "thing.0.number" in str(caught.value)
    assert "(+5)" in str(caught.value)


def test_an_unknown_name_of_a_format_lists_the_known():
    with pytest.raises(UsageError, match="kohya, diffusers"):
        codec_named("kohyass")
