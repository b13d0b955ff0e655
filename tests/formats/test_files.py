"""Adapters from files and into files."""

from __future__ import annotations

import os
from contextlib import suppress

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from loraloom.adapters.adapter import Adapter
from loraloom.adapters.card import Card
from loraloom.adapters.lora import Lora
from loraloom.adapters.site import Site
from loraloom.errors import Diverged, ModelError, OutputError, UsageError
from loraloom.formats.files import read_adapter, write_adapter
from loraloom.formats.summary import describe
from loraloom.formats.table import CODECS

WRITABLE = pytest.mark.parametrize("format", ["kohya", "diffusers", "peft"])


def _path(tmp_path, format):
    return tmp_path / ("cat" if CODECS[format].is_folder else "cat.safetensors")


@WRITABLE
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16, torch.float64])
def test_write_and_read_give_the_same_adapter(tmp_path, make_adapter, card, same, format, dtype):
    adapter = make_adapter(card, dtype=dtype)
    write_adapter(adapter, _path(tmp_path, format), format)
    same(read_adapter(_path(tmp_path, format)), adapter)


@WRITABLE
def test_the_same_adapter_is_always_the_same_bytes(tmp_path, adapter, format):
    for name in ("one", "two"):
        write_adapter(adapter, _path(tmp_path / name, format), format)
    files = [f.relative_to(tmp_path / "one") for f in (tmp_path / "one").rglob("*") if f.is_file()]
    assert files
    for file in files:
        assert (tmp_path / "one" / file).read_bytes() == (tmp_path / "two" / file).read_bytes()


def test_another_tools_file_is_written_back_as_it_was(tmp_path):
    flat = "lora_te_encoder_layers_0_mlp_fc1"
    tensors = {
        f"{flat}.lora_down.weight": torch.randn(4, 6).bfloat16(),
        f"{flat}.lora_up.weight": torch.randn(5, 4).bfloat16(),
        f"{flat}.alpha": torch.tensor([1 / 3]).half(),
    }
    metadata = {"ss_network_dim": "4", "modelspec.date": "2024-01-01", "마음": "대로"}
    save_file(tensors, tmp_path / "old.safetensors", metadata)
    write_adapter(read_adapter(tmp_path / "old.safetensors"), tmp_path / "new.safetensors")
    written = load_file(tmp_path / "new.safetensors")
    assert written.keys() == tensors.keys()
    for key, tensor in tensors.items():
        assert (written[key].dtype, written[key].shape) == (tensor.dtype, tensor.shape)
        assert torch.equal(written[key], tensor)
    with safe_open(tmp_path / "new.safetensors", "pt") as file:
        assert file.metadata() == metadata


def test_a_cast_changes_the_factors_alone(tmp_path, adapter):
    write_adapter(adapter, tmp_path / "cat.safetensors", dtype=torch.bfloat16)
    read = read_adapter(tmp_path / "cat.safetensors")
    assert read.card == adapter.card
    for site, delta in adapter.deltas.items():
        assert read.deltas[site].alpha == delta.alpha
        for part, tensor in delta.parts().items():
            assert torch.equal(read.deltas[site].parts()[part], tensor.bfloat16())


def test_a_cast_to_the_type_there_is_keeps_the_origin(tmp_path, adapter):
    path = tmp_path / "cat.safetensors"
    write_adapter(adapter, path)
    write_adapter(read_adapter(path), tmp_path / "again.safetensors", dtype=torch.float32)
    assert (tmp_path / "again.safetensors").read_bytes() == path.read_bytes()


def test_views_and_shared_tensors_can_be_written(tmp_path, card, same):
    down, up = torch.randn(2, 12)[:, ::2], torch.randn(5, 2)
    sites = [Site("unet", f"time_embedding.linear_{n}.weight") for n in (1, 2)]
    adapter = Adapter(deltas={site: Lora(down, up, 1.0) for site in sites}, card=card)
    write_adapter(adapter, tmp_path / "cat.safetensors")
    same(read_adapter(tmp_path / "cat.safetensors"), adapter)


def test_a_folder_that_diffusers_saved_into(tmp_path, adapter, same):
    write_adapter(adapter, tmp_path / "pytorch_lora_weights.safetensors", "diffusers")
    same(read_adapter(tmp_path), adapter)


@WRITABLE
def test_what_exists_stays_unless_asked(tmp_path, adapter, make_adapter, card, same, format):
    path = _path(tmp_path, format)
    write_adapter(adapter, path, format)
    other = make_adapter(card, ranks=(2,))
    with pytest.raises(OutputError) as caught:
        write_adapter(other, path, format)
    assert caught.value.code == "output.exists"
    same(read_adapter(path), adapter)
    write_adapter(other, path, format, overwrite=True)
    same(read_adapter(path), other)


@WRITABLE
@pytest.mark.parametrize("number", [float("nan"), float("inf"), float("-inf")])
def test_numbers_that_are_not_finite_are_not_written(tmp_path, adapter, format, number):
    site = list(adapter.deltas)[3]
    adapter.deltas[site].up.data.view(-1)[1] = number
    with pytest.raises(Diverged) as caught:
        write_adapter(adapter, _path(tmp_path, format), format)
    assert caught.value.details["site"] == site
    assert os.listdir(tmp_path) == []


def test_a_cast_that_overflows_is_not_written(tmp_path, adapter):
    site = list(adapter.deltas)[3]
    adapter.deltas[site].up.data.fill_(1e6)
    with pytest.raises(Diverged):
        write_adapter(adapter, tmp_path / "cat.safetensors", dtype=torch.float16)
    write_adapter(adapter, tmp_path / "cat.safetensors", dtype=torch.bfloat16)


@pytest.mark.parametrize("name", ["cat.pt", "cat", "cat.ckpt"])
def test_files_are_safetensors_by_name_too(tmp_path, adapter, name):
    with pytest.raises(UsageError) as caught:
        write_adapter(adapter, tmp_path / name)
    assert caught.value.code == "output.suffix"


def test_an_unknown_format_lists_the_known(tmp_path, adapter):
    with pytest.raises(UsageError, match="kohya, diffusers"):
        write_adapter(adapter, tmp_path / "cat.safetensors", "kohyass")


def test_a_missing_file(tmp_path):
    for name in ("none.safetensors", "x" * 300):
        with pytest.raises(ModelError) as caught:
            read_adapter(tmp_path / name)
        assert caught.value.code == "file.missing"


def test_an_empty_folder(tmp_path):
    with pytest.raises(ModelError) as caught:
        read_adapter(tmp_path)
    assert caught.value.code == "file.no_adapter"


@pytest.mark.parametrize(
    ("content", "code"),
    [
        (b"", "file.not_safetensors"),
        (b"<html>", "file.is_web_page"),
        (b"\x80\x04K\x01.", "file.is_pickle"),
        (b"\xff" * 100, "file.not_safetensors"),
    ],
)
def test_what_is_no_safetensors_file(tmp_path, content, code):
    path = tmp_path / "cat.safetensors"
    path.write_bytes(content)
    with pytest.raises(ModelError) as caught:
        read_adapter(path)
    assert caught.value.code == code


def test_a_whole_model_is_no_adapter(tmp_path):
    path = tmp_path / "model.safetensors"
    save_file({"model.diffusion_model.out.2.weight": torch.ones(2)}, path)
    with pytest.raises(ModelError) as caught:
        read_adapter(path)
    assert caught.value.code == "format.is_checkpoint"
    assert "model.diffusion_model.out.2.weight" in str(caught.value)


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    """Return a small file of kohya's."""
    path = tmp_path_factory.mktemp("small") / "cat.safetensors"
    delta = Lora(torch.ones(1, 2), torch.ones(2, 1), 2.0)
    adapter = Adapter(deltas={Site("unet", "conv_in.weight"): delta}, card=Card(family="sd1"))
    write_adapter(adapter, path)
    return path


@given(changes=st.dictionaries(st.integers(0, 2000), st.integers(0, 255), min_size=1, max_size=4))
def test_no_change_of_bytes_gets_further_than_a_model_error(small, changes):
    content = bytearray(small.read_bytes())
    for place, byte in changes.items():
        content[place % len(content)] = byte
    changed = small.with_name("changed.safetensors")
    changed.write_bytes(content)
    for read in (read_adapter, describe):
        with suppress(ModelError):
            read(changed)


def test_every_message_names_the_file(tmp_path):
    path = tmp_path / "cat.safetensors"
    save_file({"unet.conv_in.lora_A.weight": torch.ones(2, 2)}, path)
    with pytest.raises(ModelError) as caught:
        read_adapter(path)
    assert str(path) in str(caught.value)
    assert str(path) in caught.value.message("ko")
