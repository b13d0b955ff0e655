"""Token embeddings kept, left out, or written to files of their own."""

from __future__ import annotations

import pytest
import torch
from safetensors.torch import load_file, save_file

from loraloom.errors import ModelError, OutputError
from loraloom.events import Saved, Warned
from loraloom.jobs.lora.convert import convert
from loraloom.jobs.lora.merge import merge
from loraloom.jobs.lora.options import ConvertOptions, MergeOptions

FLAT = "lora_unet_mid_block_attentions_0_transformer_blocks_0_attn1_to_q"


def _file(path, number: float):
    tensors = {
        f"{FLAT}.lora_down.weight": torch.ones(2, 8),
        f"{FLAT}.lora_up.weight": torch.full((8, 2), float(number)),
        "bundle_emb.tok.clip_l": torch.full((2, 768), float(number)),
        "bundle_emb.tok.clip_g": torch.full((2, 1280), float(number)),
        "bundle_emb.a/b.string_to_param.*": torch.full((1, 768), 3.0),
    }
    save_file(tensors, path)
    return path


def _convert(source, output, **options):
    return list(
        convert(ConvertOptions(source=source, destination=output, to="diffusers", **options))
    )


def test_a_format_without_a_place_says_what_to_do(tmp_path):
    source = _file(tmp_path / "lora.safetensors", 1.0)
    with pytest.raises(ModelError) as caught:
        _convert(source, tmp_path / "out.safetensors")
    assert caught.value.code == "format.no_words"
    assert "comfyui" not in str(caught.value)
    assert "--embeddings split" in str(caught.value)


def test_embeddings_are_split_into_files_that_others_load(tmp_path):
    source = _file(tmp_path / "lora.safetensors", 2.0)
    out = tmp_path / "new" / "out.safetensors"
    events = _convert(source, out, words={"embeddings": "split"})
    saved = {event.path.name for event in events if isinstance(event, Saved)}
    assert saved == {"out.safetensors", "tok.safetensors", "a_b.safetensors"}
    both = load_file(out.with_name("tok.safetensors"))
    assert {name: tuple(each.shape) for name, each in both.items()} == {
        "clip_l": (2, 768),
        "clip_g": (2, 1280),
    }
    assert load_file(out.with_name("a_b.safetensors"))["emb_params"].eq(3).all()
    assert all("lora" in name for name in load_file(out))
    out.unlink()
    with pytest.raises(OutputError):
        _convert(source, out, words={"embeddings": "split"})
    assert not out.exists()


def test_embeddings_that_are_dropped_are_told(tmp_path):
    source = _file(tmp_path / "lora.safetensors", 2.0)
    events = _convert(source, tmp_path / "out.safetensors", words={"embeddings": "drop"})
    (told,) = [each for each in events if isinstance(each, Warned)]
    assert told.code == "lora.embeddings_dropped"
    assert told.details["words"] == "a/b, tok"
    assert {path.name for path in tmp_path.iterdir()} == {"lora.safetensors", "out.safetensors"}


@pytest.mark.parametrize("way", ["split", "drop"])
def test_adapters_whose_embeddings_clash_are_merged_without_them(tmp_path, way):
    one, two = (_file(tmp_path / f"{name}.safetensors", n) for n, name in enumerate("xy", 1))
    out = tmp_path / "out" / "sum.safetensors"
    adapters = (str(one), str(two))
    with pytest.raises(ModelError) as caught:
        list(merge(MergeOptions(adapters=adapters, output=out)))
    assert caught.value.code == "composing.embeddings"
    list(merge(MergeOptions(adapters=adapters, output=out, words={"embeddings": way})))
    found = {path.name for path in out.parent.iterdir()}
    split = {"tok.safetensors", "tok-y.safetensors", "a_b.safetensors"}
    assert found == {out.name} | (split if way == "split" else set())
    if way == "split":
        assert load_file(out.with_name("tok.safetensors"))["clip_l"].eq(1).all()
        assert load_file(out.with_name("tok-y.safetensors"))["clip_l"].eq(2).all()
