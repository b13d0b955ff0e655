"""A base proved before it is loaded."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from loraloom.adapters.site import Site, canonical_path
from loraloom.errors import ModelError
from loraloom.jobs.base_check import check_base
from loraloom.models import hub
from loraloom.models.load import load_model
from loraloom.playground.packaged import PLAYGROUND, base_folder


def test_the_packaged_base_is_sound() -> None:
    base = check_base(PLAYGROUND).found
    assert (base.title, base.family, base.path) == (PLAYGROUND, "sd1", base_folder())
    assert base.geometry is not None
    assert base.geometry.resolution == 128


def test_shapes_are_those_of_the_loaded_networks(tiny_base: Path) -> None:
    shapes = check_base(str(tiny_base)).shapes
    loaded = {
        Site(part, canonical_path(part, name)): tuple(parameter.shape)
        for part, network in load_model(tiny_base).networks.items()
        for name, parameter in network.named_parameters()
    }
    assert {site: tuple(shape) for site, shape in shapes.items() if site in loaded} == loaded


def test_a_lora_is_no_base(lora_folder: Path) -> None:
    with pytest.raises(ModelError, match=r"<lora:NAME:0\.8>") as caught:
        check_base(str(lora_folder / "one.safetensors"))
    assert "called: lora_te_" in str(caught.value)


def test_weights_that_were_cut_short(tiny_base: Path, tmp_path: Path) -> None:
    folder = tmp_path / "cut"
    shutil.copytree(tiny_base, folder)
    path = folder / "vae" / "diffusion_pytorch_model.safetensors"
    path.write_bytes(path.read_bytes()[:-8])
    with pytest.raises(ModelError) as caught:
        check_base(str(folder))
    assert str(path) in str(caught.value)


@pytest.mark.parametrize("name", ["no such thing", "a/b/c", "a--b/c", "", "playground/", "~"])
def test_names_that_are_none(name: str) -> None:
    with pytest.raises(ModelError):
        check_base(name)


def test_a_repository_that_cannot_be_had() -> None:
    with pytest.raises(ModelError) as caught:  # tests run with the hub switched off
        check_base("somebody/something")
    assert caught.value.code == "model.offline"


def asked(files: tuple[str, ...]) -> Any:
    """Return what the hub's client says of a repository with these files."""
    from types import SimpleNamespace

    siblings = [SimpleNamespace(rfilename=name) for name in files]
    return lambda self, name: SimpleNamespace(siblings=siblings)


def test_a_repository_that_the_hub_has(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.HfApi.model_info", asked(("model_index.json",)))
    base = check_base("somebody/something").found
    assert (base.title, base.path, base.geometry) == ("somebody/something", None, None)
    monkeypatch.setattr("huggingface_hub.HfApi.model_info", asked(("README.md",)))
    with pytest.raises(ModelError) as caught:
        check_base("somebody/something")
    assert caught.value.code == "model.no_index"


def test_a_repository_that_is_on_this_machine(
    tiny_base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "snapshot"
    shutil.copytree(tiny_base, folder)
    monkeypatch.setattr(hub, "cached", lambda name: folder)
    base = check_base("somebody/something").found
    assert (base.title, base.path) == ("somebody/something", folder)
    shutil.rmtree(folder / "vae")  # as where a download broke off
    with pytest.raises(ModelError) as caught:
        check_base("somebody/something")
    assert caught.value.code == "model.offline", "the hub was asked for the rest"
    (folder / "model_index.json").write_text(json.dumps({"_class_name": "KandinskyPipeline"}))
    with pytest.raises(ModelError, match="KandinskyPipeline"):
        check_base("somebody/something")
