"""Models that lora tools are given by name: on this machine, on the hub, nowhere."""

from __future__ import annotations

import shutil
from fnmatch import fnmatch

import pytest

from loraloom.errors import ModelError
from loraloom.formats.files import read_adapter
from loraloom.jobs.lora import model_place
from loraloom.jobs.lora.model_place import place_of_model

NAME = "somebody/something"
# As stable-diffusion-v1-5, stable-diffusion-xl-base-1.0 and a sharded language model lie there.
USED = (
    "model_index.json",
    "unet/config.json",
    "unet/diffusion_pytorch_model.safetensors",
    "unet/diffusion_pytorch_model-00001-of-00002.safetensors",
    "unet/diffusion_pytorch_model.safetensors.index.json",
    "text_encoder/model.safetensors",
    "text_encoder_2/model.safetensors",
    "model.safetensors",
    "model-00001-of-00002.safetensors",
)
REST = (
    "vae/diffusion_pytorch_model.safetensors",
    "safety_checker/model.safetensors",
    "tokenizer/merges.txt",
    "tokenizer.model",
)
NEVER = (
    "v1-5-pruned.safetensors",
    "v1-5-pruned.ckpt",
    "unet/diffusion_pytorch_model.fp16.safetensors",
    "unet/diffusion_pytorch_model.non_ema.safetensors",
    "unet/diffusion_pytorch_model.bin",
    "text_encoder/model.fp16.safetensors",
    "original/consolidated.00.pth",
)


@pytest.fixture
def hub(monkeypatch, tmp_path, tiny_base):
    """Let the hub hand out a small base; return what it was asked for."""
    asked = []

    def download(name, files):
        asked.append((name, files))
        folder = tmp_path / "snapshots" / "0123abcd"
        if not folder.exists():
            shutil.copytree(tiny_base, folder)
        return folder

    monkeypatch.setattr(model_place, "download", download)
    return asked


def test_no_more_is_fetched_than_is_needed(hub):
    for whole in (False, True):
        place_of_model(NAME, whole=whole)
        _, patterns = hub[-1]
        fetched = {
            file for file in (*USED, *REST, *NEVER) if any(fnmatch(file, own) for own in patterns)
        }
        assert fetched == {*USED, *(REST if whole else ())}


def test_a_model_of_the_hub_is_fused_and_extracted_from(hub, files, tmp_path, run):
    fused, out = tmp_path / "fused", tmp_path / "out.safetensors"
    run("fuse", NAME, files["one"], "-o", fused)
    run("extract", fused, NAME, "--rank", "8", "--family", "sd1", "-o", out)
    assert read_adapter(out).card.base == NAME
    assert [name for name, _ in hub] == [NAME, NAME]


def test_a_base_of_the_hub_is_read_where_one_is_needed(hub, files, run):
    run("verify", files["one"], files["one"], "--base", NAME)
    assert [name for name, _ in hub] == [NAME]


def test_what_cannot_be_had_is_told(files, refused):
    """Tests run with the hub switched off."""
    words = ("verify", files["one"], files["one"], "--base")
    said = refused(*words, NAME, status=4)
    assert "model.offline" in said
    assert NAME in said
    assert "lora.no_model" in refused(*words, "models/missing.safetensors", status=4)
    assert "lora.no_model" in refused(*words, "no such thing", status=4)


def test_paths_are_themselves(tmp_path, hub):
    (tmp_path / "base").mkdir()
    assert place_of_model(str(tmp_path / "base")) == (tmp_path / "base", "base")
    assert place_of_model("playground")[0].is_dir()
    with pytest.raises(ModelError):
        place_of_model("a/b/c")
    assert not hub
