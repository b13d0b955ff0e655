"""The job of laying prompts by mixes into a grid."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from loraloom.errors import LoraLoomError, ModelError, UsageError
from loraloom.events import Event, Finished, Planned, Saved
from loraloom.generation.images import read_infotext
from loraloom.generation.infotext import Infotext
from loraloom.jobs.drawing_options import DrawingOptions, GridOptions
from loraloom.jobs.grid import Mix, make_grid

Make = Callable[..., DrawingOptions]


def run(drawing: DrawingOptions, *mixes: str, **more: Any) -> list[Event]:
    prompts = more.pop("prompts", ("a red house", "a cat <lora:two:0.5>"))
    return list(make_grid(GridOptions(prompts=prompts, mix=mixes, drawing=drawing, **more)))


def test_a_grid_is_one_file(drawing: Make, tmp_path: Path) -> None:
    events = run(drawing(), "one:0.8+two:0.5", "one")
    path = tmp_path / "outputs" / "00000-grid.png"
    assert [event.path for event in events if isinstance(event, Saved)] == [path]
    planned, ended = events[0], events[-1]
    assert isinstance(planned, Planned)
    assert planned.plan["columns"] == ["base", "one 0.8 + two 0.5", "one 1"]
    assert planned.plan["loras"].keys() == {"one", "two"}
    assert isinstance(ended, Finished)
    assert ended.outputs == (path,)
    text = Infotext.parse(read_infotext(path) or "")
    assert json.loads(text.fields["Grid columns"]) == planned.plan["columns"]
    assert json.loads(text.fields["Grid rows"]) == ["a red house", "a cat <lora:two:0.5>"]
    assert text.fields["Seed"] == "42"
    assert text.lora_hashes.keys() == {"one", "two"}
    with Image.open(path) as picture:
        assert picture.width > 3 * 192
        assert picture.height > 2 * 192


def test_the_next_grid_is_another_file(drawing: Make, tmp_path: Path) -> None:
    for _ in range(2):
        run(drawing(), "one", prompts=("a cat",))
    names = sorted(path.name for path in (tmp_path / "outputs").iterdir())
    assert names == ["00000-grid.png", "00001-grid.png"]


def test_a_row_shares_its_noise(drawing: Make, tmp_path: Path) -> None:
    run(drawing(), "one:0", prompts=("a cat",), labels=("base",))
    grid = np.asarray(Image.open(tmp_path / "outputs" / "00000-grid.png"), dtype=int)
    columns = np.nonzero((grid != 255).any(-1).sum(0) > 150)[0]
    first, second = np.split(columns, np.nonzero(np.diff(columns) > 1)[0] + 1)[-2:]
    assert len(first) == len(second) >= 190
    assert (grid[60:180, first] == grid[60:180, second]).all()


def test_columns(drawing: Make) -> None:
    def columns(*mixes: str, **more: Any) -> list[str]:
        options = GridOptions(prompts=("a cat",), mix=mixes, drawing=drawing(), **more)
        planned = next(make_grid(options))
        assert isinstance(planned, Planned)
        return planned.plan["columns"]

    assert columns("one:0.8", include_base=False) == ["one 0.8"]
    assert columns() == columns(include_base=False) == ["base"]
    assert columns("one", "two", labels=("first", "둘")) == ["base", "first", "둘"]


@pytest.mark.parametrize(
    ("text", "tags", "label"),
    [
        ("one", "<lora:one>", "one 1"),
        ("one:0.8 + two:.5", "<lora:one:0.8><lora:two:.5>", "one 0.8 + two 0.5"),
        ("one:0.8:0.3", "<lora:one:0.8:0.3>", "one 0.8/0.3"),
        ("one:-1", "<lora:one:-1>", "one -1"),
    ],
)
def test_mixes(text: str, tags: str, label: str) -> None:
    assert Mix.parse(text) == Mix(tags, label)


@pytest.mark.parametrize("text", ["one++two", "", "+", "one:x", ":1", "a>b"])
def test_mixes_that_cannot_be_read(text: str) -> None:
    with pytest.raises(UsageError):
        Mix.parse(text)


@pytest.mark.parametrize(
    ("mixes", "more", "error"),
    [
        (("three:1",), {}, ModelError),
        (("one", "two"), {"labels": ("only one",)}, UsageError),
    ],
)
def test_what_cannot_be_laid_out(
    drawing: Make, mixes: tuple[str, ...], more: dict[str, Any], error: type[LoraLoomError]
) -> None:
    with pytest.raises(error):
        run(drawing(), *mixes, **more)


def test_asked_to_stop(drawing: Make, tmp_path: Path) -> None:
    options = GridOptions(prompts=("a cat",), mix=("one",), drawing=drawing(batch_size=1))
    ended = list(make_grid(options, stop=lambda: True))[-1]
    assert isinstance(ended, Finished)
    assert ended.interrupted
    assert not ended.outputs
    assert not (tmp_path / "outputs").exists()
