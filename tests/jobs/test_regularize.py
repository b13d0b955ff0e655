"""The job of drawing class pictures: how many, where, which seeds, and going on."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from loraloom.data.scan import scan
from loraloom.errors import LoraLoomError, ModelError, UsageError
from loraloom.events import Event, Finished, Planned, Sampled
from loraloom.jobs.drawing_options import DrawingOptions
from loraloom.jobs.regularize import RegularizeOptions, class_name, regularize

Make = Callable[..., DrawingOptions]


def asked(drawing: DrawingOptions, **changes: Any) -> RegularizeOptions:
    return RegularizeOptions(**{"class_prompt": "a bear", "drawing": drawing, **changes})


def run(
    drawing: DrawingOptions, stop: Callable[[], bool] = lambda: False, **changes: Any
) -> list[Event]:
    return list(regularize(asked(drawing, **changes), stop))


def seeds(events: list[Event]) -> list[int]:
    return [event.seed for event in events if isinstance(event, Sampled)]


def test_five_per_training_picture_in_kohyas_folder(drawing: Make, tmp_path: Path) -> None:
    train = tmp_path / "train" / "20_svs bear"
    train.mkdir(parents=True)
    Image.new("RGB", (64, 64)).save(train / "a.png")
    events = run(drawing(), train_data_dir=tmp_path / "train")
    folder = tmp_path / "outputs" / "1_bear"
    names = [f"0000{number}-{42 + number}" for number in range(5)]
    assert sorted(path.name for path in folder.glob("*.png")) == [f"{name}.png" for name in names]
    found = scan(tmp_path / "outputs")
    assert found.findings == ()
    assert {(each.caption, each.repeats) for each in found.examples} == {("a bear", 1)}
    assert isinstance(events[0], Planned)
    assert sum(isinstance(event, Planned) for event in events) == 1
    assert events[0].plan["missing"] == 5
    ended = events[-1]
    assert isinstance(ended, Finished)
    assert ended.job == "regularize"
    assert ended.outputs == (folder,)


def test_what_is_there_is_kept_and_counted_on(drawing: Make, tmp_path: Path) -> None:
    stopped = run(drawing(batch_size=1), lambda: True, num_class_images=4)
    assert isinstance(stopped[-1], Finished)
    assert stopped[-1].interrupted
    assert len(seeds(stopped)) < 4
    half = run(drawing(batch_size=1), num_class_images=2)
    folder = tmp_path / "outputs" / "1_bear"
    first = sorted(folder.glob("*.png"))
    kept = [path.read_bytes() for path in first]
    (folder / first[0].with_suffix(".txt").name).unlink()
    (folder / first[1].with_suffix(".txt").name).write_text("two bears", encoding="utf-8")
    assert seeds(stopped) + seeds(half) == [42, 43]
    assert seeds(run(drawing(batch_size=1), num_class_images=4)) == [44, 45]
    assert [path.read_bytes() for path in first] == kept
    texts = [path.with_suffix(".txt").read_text("utf-8").strip() for path in first]
    assert texts == ["a bear", "two bears"]
    assert seeds(run(drawing(), num_class_images=4)) == []

    whole = drawing(batch_size=1, output_dir=tmp_path / "whole")
    run(whole, num_class_images=4)
    for path in sorted(folder.glob("*.png")):
        with Image.open(path) as one, Image.open(tmp_path / "whole" / "1_bear" / path.name) as two:
            assert np.array_equal(np.asarray(one), np.asarray(two))


def test_the_name_of_the_folder(drawing: Make) -> None:
    def name(prompt: str, **changes: Any) -> str:
        return class_name(asked(drawing(), class_prompt=prompt, num_class_images=1, **changes))

    assert name("a bear") == "bear"
    assert name("An apple tree <lora:one:0.5>") == "apple tree"
    assert name("bear/../cub:1") == "bear .. cub 1"
    assert name("a photo of a bear", class_name="bear") == "bear"
    assert name("곰") == "곰"
    assert name("...") == "class"


def test_what_is_wrong_is_found_before_anything_is_written(drawing: Make, tmp_path: Path) -> None:
    wrongs: list[tuple[Callable[[], Any], type[LoraLoomError], str]] = [
        (lambda: asked(drawing()), UsageError, "regularize.how_many"),
        (
            lambda: run(drawing(model=str(tmp_path)), num_class_images=1),
            ModelError,
            "model.no_index",
        ),
    ]
    for act, kind, code in wrongs:
        with pytest.raises(kind) as caught:
            act()
        assert caught.value.code == code
    assert not (tmp_path / "outputs").exists()
