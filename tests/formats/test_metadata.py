"""How much a header tells, and that it tells nothing of the machine."""

from __future__ import annotations

import json

import pytest
import torch

from loraloom.adapters.adapter import Adapter
from loraloom.adapters.card import Card
from loraloom.adapters.lora import Lora
from loraloom.adapters.site import Site
from loraloom.errors import OutputError, UsageError
from loraloom.formats.card import KEY
from loraloom.formats.coding import decode, encode
from loraloom.formats.conversion import convert
from loraloom.formats.files import read_adapter, write_adapter
from loraloom.formats.header_editing import read_metadata, told_hash_is_right, write_metadata
from loraloom.formats.metadata import Level, without_paths
from loraloom.formats.summary import describe
from loraloom.formats.table import FORMATS

SITES = [
    Site("unet", "mid_block.attentions.0.transformer_blocks.0.attn1.to_q.weight"),
    Site("text_encoder", "text_model.encoder.layers.1.self_attn.v_proj.weight"),
]
HOME = "/home/somebody/secret"


def _adapter(**card):
    deltas = {site: Lora(torch.ones(2, 6), torch.ones(4, 2), 1.0) for site in SITES}
    return Adapter(deltas=deltas, card=Card(family="sd1", **card))


def _full():
    return _adapter(
        name="cat",
        base=f"{HOME}/models/v1-5.safetensors",
        base_hash="ab" * 32,
        triggers=("sks cat",),
        recipe={"learning_rate": 1e-4, "train_data_dir": f"{HOME}/pictures", "seed": 7},
        facts={"comment": f"--output_dir={HOME}/runs/cat made at 1/2 speed", "steps": 9}
        | {"dataset_dirs": {f"{HOME}/pictures/10_cat": {"n_repeats": 10}}},
    )


@pytest.mark.parametrize("format", ["kohya", "diffusers", "peft", "comfyui", "native"])
@pytest.mark.parametrize("level", list(Level))
def test_what_is_written_holds_no_path(format, level):
    encoded = encode(FORMATS[format], _full(), level)
    everything = json.dumps([dict(encoded.metadata), encoded.config])
    if level is not Level.VERBATIM:
        assert "somebody" not in everything
        assert "/home" not in everything


@pytest.mark.parametrize("format", ["kohya", "diffusers", "peft", "comfyui", "native"])
def test_the_levels(format):
    none, minimal, full = (
        encode(FORMATS[format], _full(), level) for level in (Level.NONE, Level.MINIMAL, Level.FULL)
    )
    assert set(none.metadata) <= set(minimal.metadata) <= set(full.metadata)
    assert set(none.metadata) <= {
        f"{folder}{key}"
        for folder in ("", "unet/", "text_encoder/")
        for key in ("format", "lora_adapter_metadata", "loraloom.deltas")
    }
    # Each can be read, and tells its part.
    for encoded in (none, minimal, full):
        read = decode(encoded.tensors, encoded.metadata, encoded.config)
        assert {place: delta.alpha for place, delta in read.deltas.items()} == dict.fromkeys(
            SITES, 1.0
        )
    told = [decode(each.tensors, each.metadata, each.config).card for each in (minimal, full)]
    assert all((card.name, card.triggers) == ("cat", ("sks cat",)) for card in told)
    assert told[0].recipe == {}
    assert told[1].recipe == {"learning_rate": 1e-4, "train_data_dir": "pictures", "seed": 7}
    assert told[1].base == "v1-5.safetensors"
    if format == "kohya":
        minimum = {"ss_v2", "ss_base_model_version", "ss_network_module", "ss_network_dim"}
        minimum |= {"ss_network_alpha", "ss_network_args", "sshs_model_hash", "sshs_legacy_hash"}
        assert minimum <= set(minimal.metadata)
        assert {"ss_learning_rate", "ss_seed"} <= set(full.metadata) - set(minimal.metadata)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("/home/x/model.safetensors", "model.safetensors"),
        ("C:\\Users\\x\\model.ckpt", "model.ckpt"),
        ("C:/Users/x/model.ckpt", "model.ckpt"),
        ("\\\\server\\share\\model.ckpt", "model.ckpt"),
        ("~/models/x", "x"),
        ("../data/cat/", "cat"),
        ("/home/a b/c d", "c d"),
        ("--out /home/x/y --in=/data/z", "--out y --in=z"),
        ("runwayml/stable-diffusion-v1-5", "runwayml/stable-diffusion-v1-5"),
        ("https://huggingface.co/a/b/resolve/main/c", "https://huggingface.co/a/b/resolve/main/c"),
        ("a cat and/or a dog, 3/4 view, 2024/01/31", "a cat and/or a dog, 3/4 view, 2024/01/31"),
        ("고양이", "고양이"),
    ],
)
def test_paths_are_known_by_their_look(text, expected):
    assert without_paths({"a": [text]}) == {"a": [expected]}


FOREIGN = {
    "ss_network_module": "networks.lora",
    "ss_sd_model_name": "/workspace/v1-5.safetensors",
    "ss_training_comment": "as they wished",
    "modelspec.author": "someone",
    "마음": "대로",
}


@pytest.mark.parametrize("format", ["comfyui", "diffusers", "peft", "native", "onetrainer"])
def test_a_converted_file_keeps_the_metadata_as_they_are(tmp_path, format):
    first, second, third = (tmp_path / name for name in ("a.safetensors", "b", "c.safetensors"))
    second = second if FORMATS[format].is_folder else second.with_suffix(".safetensors")
    kohya = encode(FORMATS["kohya"], _adapter(), Level.NONE)
    deltas = decode(kohya.tensors, FOREIGN)
    write_adapter(deltas, first, "kohya")
    assert read_metadata(first) == FOREIGN
    convert(first, second, format)
    files = [second] if second.is_file() else sorted(second.rglob("*.safetensors"))
    assert len(files) == (2 if format == "peft" else 1)
    for file in files:
        assert FOREIGN.items() <= read_metadata(file).items()
        assert KEY not in read_metadata(file)
    convert(second, third, "kohya")
    found = dict(read_metadata(third))
    assert told_hash_is_right(third)
    assert {k: v for k, v in found.items() if k in FOREIGN} == FOREIGN
    assert not any(key in found for key in ("format", "lora_adapter_metadata", "loraloom.deltas"))
    assert read_adapter(third).card == read_adapter(first).card


def test_hashes_are_of_the_file_they_are_in(tmp_path):
    path, other = tmp_path / "a.safetensors", tmp_path / "b.safetensors"
    write_adapter(_full(), path)
    assert told_hash_is_right(path)
    convert(path, other, "comfyui")
    assert told_hash_is_right(other) is None
    write_metadata(path, path, {"sshs_model_hash": "00" * 32}, overwrite=True)
    assert told_hash_is_right(path) is False


def test_entries_are_set_and_removed_and_the_tensors_stay(tmp_path):
    path, other = tmp_path / "a.safetensors", tmp_path / "b.safetensors"
    write_adapter(_full(), path)
    before = describe(path)
    changes = {"modelspec.title": "고양이", "ss_seed": None, "new": "1"}
    with pytest.raises(OutputError):
        write_metadata(path, path, changes)
    write_metadata(path, other, changes)
    expected = {k: text for k, text in before.metadata.items() if k != "ss_seed"} | {
        "modelspec.title": "고양이",
        "new": "1",
    }
    assert read_metadata(other) == expected
    after = describe(other)
    assert after.layers == before.layers
    (one,), (two,) = before.hashes.values(), after.hashes.values()
    assert (one.autov3, one.sha256 == two.sha256) == (two.autov3, False)
    write_metadata(other, other, {"new": None}, overwrite=True)
    assert "new" not in read_metadata(other)
    with pytest.raises(UsageError):
        write_metadata(path, tmp_path / "c.pt", {})


def test_a_new_number_type_keeps_the_metadata(tmp_path):
    first, second = tmp_path / "a.safetensors", tmp_path / "b.safetensors"
    kohya = encode(FORMATS["kohya"], _adapter(), Level.NONE)
    write_adapter(decode(kohya.tensors, FOREIGN), first, "kohya")
    convert(first, second, "kohya", dtype=torch.float16)
    assert FOREIGN.items() <= read_metadata(second).items()
    assert describe(second).dtypes == ("F16",)
