"""A tagger: a network small enough to know its answers by hand."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper
from PIL import Image

from loraloom.errors import ModelError, SetupError
from loraloom.models.captioning import tagger
from loraloom.models.captioning.captioner import Tagging, Wording
from loraloom.models.captioning.load import load_captioner
from loraloom.models.captioning.tagger import Tag, chosen, load_tagger, prepared

TAGS = (("general", 9), ("blue_sky", 0), ("long_hair", 0), ("red_(hero)", 4), ("^_^", 0))


def write_tagger(folder: Path, tags: Sequence[tuple[str, int]] = TAGS, side: int = 8) -> Path:
    """Write a network whose outputs are the means of blue, blue, green, red and blue, over 255."""
    which = np.zeros((3, 5), np.float32)
    which[[0, 0, 1, 2, 0], range(5)] = 1 / 255
    graph = helper.make_graph(
        [
            helper.make_node("ReduceMean", ["picture", "axes"], ["means"], keepdims=0),
            helper.make_node("MatMul", ["means", "which"], ["probabilities"]),
        ],
        "tagger",
        [helper.make_tensor_value_info("picture", TensorProto.FLOAT, ["n", side, side, 3])],
        [helper.make_tensor_value_info("probabilities", TensorProto.FLOAT, ["n", 5])],
        [
            numpy_helper.from_array(np.array([1, 2], np.int64), "axes"),
            numpy_helper.from_array(which, "which"),
        ],
    )
    folder.mkdir(exist_ok=True)
    model = helper.make_model(
        graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10, producer_name="test"
    )
    onnx.save(model, folder / "model.onnx")
    rows = [f"{number},{name},{category},1" for number, (name, category) in enumerate(tags)]
    lines = ["tag_id,name,category,count", *rows]
    (folder / "selected_tags.csv").write_text("\n".join(lines), encoding="utf-8")
    return folder


def test_tags_come_from_blue_green_red_by_probability(tmp_path: Path) -> None:
    found = load_tagger(write_tagger(tmp_path / "tagger"), Tagging())
    pictures = [
        Image.new("RGB", (20, 20), (255, 0, 128)),  # red 1, green 0, blue 0.5
        Image.new("RGB", (8, 8), (0, 200, 100)),  # green 0.78, blue 0.39
        Image.new("RGB", (8, 8), "black"),
    ]
    assert found.describe(pictures) == [
        "^_^, blue_sky, red_(hero)",  # equal ones by name; characters last; no rating
        "long_hair, ^_^, blue_sky",
        "",
    ]


def test_a_folder_with_a_tagger_is_loaded_as_one(tmp_path: Path) -> None:
    folder = write_tagger(tmp_path / "tagger")
    found = load_captioner(
        str(folder),
        Wording(),
        Tagging(general_threshold=0.9),
        device=torch.device("cpu"),
        dtype=torch.float32,
    )
    assert found.describe([Image.new("RGB", (8, 8), (0, 255, 0))]) == ["long_hair"]


def test_thresholds_underscores_and_undesired_tags() -> None:
    tags = [Tag(name, category) for name, category in TAGS]
    probabilities = (0.99, 0.4, 0.6, 0.5, 0.7)
    asked = Tagging(general_threshold=0.5, character_threshold=0.51, remove_underscore=True)
    assert chosen(tags, probabilities, asked) == "^_^, long hair"
    asked = Tagging(undesired_tags=frozenset({"Long Hair", "^_^"}), separator=" | ")
    assert chosen(tags, probabilities, asked) == "blue_sky | red_(hero)"


def test_pictures_lie_on_a_white_square() -> None:
    wide = prepared(Image.new("RGB", (16, 8), (10, 20, 30)), 8)
    assert wide.shape == (8, 8, 3)
    assert wide.dtype == np.float32
    assert np.array_equal(wide[0], np.full((8, 3), 255))
    assert np.array_equal(wide[4], np.tile([30.0, 20.0, 10.0], (8, 1)))


def test_a_missing_runtime_is_told_in_one_sentence(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def absent(name: str) -> Any:
        raise ModuleNotFoundError(name)

    monkeypatch.setattr(tagger, "import_module", absent)
    with pytest.raises(SetupError) as caught:
        load_tagger(tmp_path, Tagging())
    assert caught.value.code == "captioner.no_runtime"
    assert "pip install" in str(caught.value)


def test_broken_parts_are_named(tmp_path: Path) -> None:
    folder = write_tagger(tmp_path / "few", TAGS[:3])
    with pytest.raises(ModelError) as caught:
        load_tagger(folder, Tagging())
    assert (caught.value.code, caught.value.details["found"]) == ("captioner.tags", 3)
    (folder / "selected_tags.csv").write_text("name\nx\n", encoding="utf-8")
    with pytest.raises(ModelError) as caught:
        load_tagger(folder, Tagging())
    assert caught.value.details["path"] == folder / "selected_tags.csv"
    other = write_tagger(tmp_path / "broken")
    (other / "model.onnx").write_bytes(b"no network")
    with pytest.raises(ModelError) as caught:
        load_tagger(other, Tagging())
    assert caught.value.details["path"] == other / "model.onnx"
