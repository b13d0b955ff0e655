"""Captioners by name: which kind a folder holds, and what the hub is asked."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import pytest

from loraloom.errors import ModelError
from loraloom.models import hub
from loraloom.models.captioning.source import (
    TAGGER,
    check_captioner,
    fetch_captioner,
    find_captioner,
)


def blip(folder: Path, kind: str = "blip") -> Path:
    folder.mkdir(parents=True)
    (folder / "config.json").write_text(json.dumps({"model_type": kind}), encoding="utf-8")
    (folder / "model.safetensors").touch()
    return folder


def tagger(folder: Path) -> Path:
    folder.mkdir(parents=True)
    (folder / "model.onnx").touch()
    (folder / "selected_tags.csv").touch()
    return folder


def test_the_kind_of_a_folder(tmp_path: Path) -> None:
    assert find_captioner(str(blip(tmp_path / "one"))).kind == "blip"
    assert find_captioner(str(blip(tmp_path / "two", "blip-2"))).kind == "blip-2"
    assert find_captioner(str(tagger(tmp_path / "three"))).kind == TAGGER


@pytest.mark.parametrize(
    ("name", "code"),
    [
        ("empty", "captioner.none"),
        ("git", "captioner.kind"),
        ("file.txt", "captioner.not_folder"),
        ("not there", "captioner.unknown"),
    ],
)
def test_what_is_no_captioner(tmp_path: Path, name: str, code: str) -> None:
    (tmp_path / "empty").mkdir()
    blip(tmp_path / "git", "git")
    (tmp_path / "file.txt").touch()
    with pytest.raises(ModelError) as caught:
        find_captioner(str(tmp_path / name))
    assert caught.value.code == code


def test_a_repository_that_cannot_be_reached() -> None:
    assert find_captioner("someone/blip").folder is None
    for act in (check_captioner, fetch_captioner):
        with pytest.raises(ModelError) as caught:  # tests run with the hub switched off
            act("someone/blip")
        assert caught.value.code == "model.offline"


def test_what_the_hub_tells_before_anything_is_fetched(monkeypatch: pytest.MonkeyPatch) -> None:
    listed: tuple[str, ...] = ("config.json", "model.onnx", "selected_tags.csv")
    monkeypatch.setattr(hub, "listed", lambda name: listed)
    assert check_captioner("someone/model") == TAGGER
    listed = ("config.json", "model.safetensors")
    assert check_captioner("someone/model") == ""
    listed = ("README.md",)
    with pytest.raises(ModelError) as caught:
        check_captioner("someone/model")
    assert caught.value.code == "captioner.none"


@pytest.mark.parametrize("kind", ["blip", TAGGER])
def test_only_what_is_used_is_fetched(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make = {"blip": blip, TAGGER: tagger}[kind]
    fetched: list[Sequence[str]] = []
    listed = {
        "blip": ("config.json", "model.safetensors", "pytorch_model.bin"),
        TAGGER: ("config.json", "model.onnx", "model.safetensors", "selected_tags.csv"),
    }

    def download(name: str, files: Sequence[str]) -> Path:
        fetched.append(files)
        return make(tmp_path / name)

    monkeypatch.setattr(hub, "listed", lambda name: listed[kind])
    monkeypatch.setattr(hub, "download", download)
    assert fetch_captioner("someone/model").kind == kind
    assert ("model.onnx" in fetched[0]) == (kind == TAGGER)
    assert ("model*.safetensors" in fetched[0]) == (kind == "blip")


def test_a_broken_download_is_fetched_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = blip(tmp_path / "part")
    monkeypatch.setattr(hub, "cached", lambda name, files: folder)
    assert find_captioner("someone/model").folder == folder
    (folder / "model.safetensors").unlink()
    assert find_captioner("someone/model").folder is None
