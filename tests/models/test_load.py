"""Bases by name: folders that diffusers reads too, and what is wrong with others."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import diffusers
import pytest
import torch
from safetensors.torch import load_file, save_file

from loraloom.errors import ModelError
from loraloom.models.families import FAMILIES
from loraloom.models.load import LOADERS, load_model
from loraloom.models.model import AbstractModel
from loraloom.models.sd1.save import save_folder
from loraloom.models.source import find_base

from ..tiny_base import build_tiny


def states(model: AbstractModel) -> dict[str, torch.Tensor]:
    return {
        f"{part}.{name}": tensor
        for part, network in model.networks.items()
        for name, tensor in network.state_dict().items()
    }


def test_a_saved_folder_loads_again_bit_for_bit(tiny_base: Path) -> None:
    built, loaded = states(build_tiny()), states(load_model(tiny_base))
    assert built.keys() == loaded.keys()
    assert all(torch.equal(built[name], loaded[name]) for name in built)


def test_diffusers_reads_the_folder(tiny_base: Path) -> None:
    model = load_model(tiny_base)
    pipeline: Any = diffusers.StableDiffusionPipeline.from_pretrained(tiny_base)
    theirs = {
        f"{part}.{name}": tensor
        for part in model.networks
        for name, tensor in getattr(pipeline, part).state_dict().items()
    }
    ours = states(model)
    assert ours.keys() == theirs.keys()
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)
    assert (
        pipeline.tokenizer("a red house")["input_ids"]
        == (build_tiny().tokenizer("a red house")["input_ids"])
    )


def test_text_encoder_files_have_the_name_that_older_readers_know(tiny_base: Path) -> None:
    names = load_file(tiny_base / "text_encoder" / "model.safetensors")
    assert names
    assert all(name.startswith("text_model.") for name in names)
    assert {"vocab.json", "merges.txt"} <= {
        each.name for each in (tiny_base / "tokenizer").iterdir()
    }


def test_half_precision_on_disk_and_in_memory(tmp_path: Path) -> None:
    save_folder(build_tiny(), tmp_path / "half", torch.float16)
    stored = load_file(tmp_path / "half" / "unet" / "diffusion_pytorch_model.safetensors")
    assert {tensor.dtype for tensor in stored.values()} == {torch.float16}
    assert load_model(tmp_path / "half").dtype == torch.float32
    assert load_model(tmp_path / "half", dtype=torch.bfloat16).dtype == torch.bfloat16


def test_a_loaded_base_is_frozen(tiny_base: Path) -> None:
    for network in load_model(tiny_base).networks.values():
        assert not network.training
        assert not any(parameter.requires_grad for parameter in network.parameters())


def test_the_name_of_a_base(tiny_base: Path) -> None:
    assert load_model(tiny_base).name == "tiny"
    assert load_model(str(tiny_base), title="mine").name == "mine"


def test_the_hash_follows_the_weights_alone(tiny_base: Path, tmp_path: Path) -> None:
    copied = tmp_path / "copy"
    shutil.copytree(tiny_base, copied)
    assert load_model(copied).base_hash() == load_model(tiny_base).base_hash()
    other = build_tiny()
    next(other.unet.parameters()).data += 1
    save_folder(other, tmp_path / "other", torch.float32)
    assert load_model(tmp_path / "other").base_hash() != load_model(tiny_base).base_hash()


def _lacks_unet(folder: Path) -> None:
    shutil.rmtree(folder / "unet")


def _lacks_index(folder: Path) -> None:
    (folder / "model_index.json").unlink()


def _is_another_pipeline(folder: Path) -> None:
    (folder / "model_index.json").write_text(json.dumps({"_class_name": "KandinskyPipeline"}))


def _has_a_broken_index(folder: Path) -> None:
    (folder / "model_index.json").write_text("{")


def _has_broken_weights(folder: Path) -> None:
    path = folder / "unet" / "diffusion_pytorch_model.safetensors"
    path.write_bytes(path.read_bytes()[:1000])


def _lacks_a_configuration(folder: Path) -> None:
    (folder / "vae" / "config.json").unlink()


def _lacks_weights(folder: Path) -> None:
    (folder / "vae" / "diffusion_pytorch_model.safetensors").unlink()


def _lacks_a_vocabulary(folder: Path) -> None:
    (folder / "tokenizer" / "tokenizer.json").unlink()
    (folder / "tokenizer" / "merges.txt").unlink()


@pytest.mark.parametrize(
    ("harm", "told"),
    [
        (_lacks_unet, "unet"),
        (_lacks_index, "model_index.json"),
        (_is_another_pipeline, "KandinskyPipeline"),
        (_has_a_broken_index, "model_index.json"),
        (_has_broken_weights, "could not be loaded"),
        (_lacks_a_configuration, "could not be loaded"),
        (_lacks_weights, "vae/diffusion_pytorch_model.safetensors is missing"),
        (_lacks_a_vocabulary, "tokenizer.json is missing"),
    ],
)
def test_folders_that_are_no_base(
    tiny_base: Path, tmp_path: Path, harm: Callable[[Path], None], told: str
) -> None:
    folder = tmp_path / "harmed"
    shutil.copytree(tiny_base, folder)
    harm(folder)
    with pytest.raises(ModelError, match=told) as caught:
        load_model(folder)
    assert caught.value.exit_code == 4
    assert str(folder) in caught.value.message("ko")


@pytest.mark.parametrize("content", ["[1, 2]", '"text"', "7", "null", "true", "[" * 100_000])
@pytest.mark.parametrize(
    "name",
    [
        "model_index.json",
        "unet/config.json",
        "vae/config.json",
        "text_encoder/config.json",
        "tokenizer/tokenizer.json",
        "tokenizer/tokenizer_config.json",
        "tokenizer/vocab.json",
        "scheduler/scheduler_config.json",
    ],
)
def test_json_that_is_no_object(tiny_base: Path, tmp_path: Path, name: str, content: str) -> None:
    folder = tmp_path / "harmed"
    shutil.copytree(tiny_base, folder)
    (folder / name).write_text(content)
    with pytest.raises(ModelError) as caught:
        find_base(folder)
    assert str(folder / name) in str(caught.value)


@pytest.mark.parametrize(
    ("name", "entry", "value"),
    [
        ("unet/config.json", "sample_size", "eight"),
        ("unet/config.json", "sample_size", None),
        ("unet/config.json", "in_channels", True),
        ("unet/config.json", "block_out_channels", 32),
        ("vae/config.json", "block_out_channels", [8, "16"]),
        ("text_encoder/config.json", "num_hidden_layers", 0),
        ("scheduler/scheduler_config.json", "num_train_timesteps", 0),
        ("scheduler/scheduler_config.json", "beta_start", "0.1"),
        ("scheduler/scheduler_config.json", "beta_end", float("nan")),
    ],
)
def test_entries_of_the_wrong_kind(
    tiny_base: Path, tmp_path: Path, name: str, entry: str, value: object
) -> None:
    folder = tmp_path / "harmed"
    shutil.copytree(tiny_base, folder)
    path = folder / name
    path.write_text(json.dumps({**json.loads(path.read_text()), entry: value}))
    with pytest.raises(ModelError) as caught:
        find_base(folder)
    assert str(path) in str(caught.value)
    assert entry in str(caught.value)


def test_entries_that_only_the_libraries_look_at(tiny_base: Path, tmp_path: Path) -> None:
    folder = tmp_path / "harmed"
    shutil.copytree(tiny_base, folder)
    path = folder / "unet" / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "down_block_types": 5}))
    with pytest.raises(ModelError, match="could not be loaded"):
        load_model(folder)


def test_what_the_files_tell_is_what_the_model_is(tiny_base: Path) -> None:
    base = find_base(tiny_base)
    model = load_model(tiny_base)
    assert (base.title, base.family, base.path) == (model.name, model.family, tiny_base)
    assert base.geometry == model.geometry
    assert {path.parent.name for path in base.weights} == {"unet", "vae", "text_encoder"}


def test_weights_in_several_files(tiny_base: Path, tmp_path: Path) -> None:
    folder = tmp_path / "sharded"
    shutil.copytree(tiny_base, folder)
    whole = folder / "unet" / "diffusion_pytorch_model.safetensors"
    names = [f"diffusion_pytorch_model-0000{n}-of-00002.safetensors" for n in (1, 2)]
    for name, half in zip(names, split(load_file(whole)), strict=True):
        save_file(half, whole.with_name(name), metadata={"format": "pt"})
    whole.unlink()
    index = {
        "metadata": {},
        "weight_map": {key: name for name in names for key in load_file(whole.with_name(name))},
    }
    whole.with_name(f"{whole.name}.index.json").write_text(json.dumps(index))
    assert {whole.with_name(name) for name in names} <= set(find_base(folder).weights)
    ours, theirs = states(load_model(folder)), states(load_model(tiny_base))
    assert all(torch.equal(ours[name], theirs[name]) for name in theirs)
    whole.with_name(names[1]).unlink()
    with pytest.raises(ModelError, match=names[1]):
        find_base(folder)


def split(tensors: dict[str, torch.Tensor]) -> tuple[dict[str, torch.Tensor], ...]:
    items = list(tensors.items())
    return dict(items[: len(items) // 2]), dict(items[len(items) // 2 :])


def test_every_family_has_a_loader() -> None:
    assert {family.name for family in FAMILIES.values()} == set(LOADERS)


def test_too_little_memory_is_no_fault_of_the_files(
    tiny_base: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def allocate(*arguments: Any, **options: Any) -> None:
        raise RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 GB")

    monkeypatch.setattr(diffusers.AutoencoderKL, "from_pretrained", allocate)
    with pytest.raises(RuntimeError, match="DefaultCPUAllocator"):
        load_model(tiny_base)


def test_names_that_lead_nowhere(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="no such thing"):
        load_model("no such thing")
    for name in ("somebody/something", "some--body/something", "x" * 300):
        with pytest.raises(ModelError, match=name):
            load_model(name)
    (tmp_path / "notes.txt").write_text("hello")
    with pytest.raises(ModelError, match=r"notes\.txt"):
        load_model(tmp_path / "notes.txt")


def test_a_file_that_is_no_checkpoint(tiny_base: Path, tmp_path: Path) -> None:
    path = tmp_path / "broken.safetensors"
    path.write_bytes(b"not a checkpoint")
    with pytest.raises(ModelError, match="broken"):
        load_model(path, config=tiny_base)
