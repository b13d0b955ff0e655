"""The job of captioning a folder: what is written, what is kept, and what is told."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from loraloom.data.scan import scan
from loraloom.errors import DatasetError, ModelError, OutputError, UsageError
from loraloom.events import Advanced, Captioned, Event, Finished, PhaseStarted, Planned, Warned
from loraloom.jobs import caption as job
from loraloom.jobs.caption import CaptionOptions, caption, worded
from loraloom.models.captioning.captioner import AbstractCaptioner
from loraloom.playground.captions import place_named, things_named
from loraloom.playground.scenes import sample_scene
from loraloom.playground.styles import STYLES, render


class Speaker(AbstractCaptioner):
    """Says the size of each picture."""

    batches: list[int]

    def __init__(self) -> None:
        self.batches = []

    def describe(self, pictures: Sequence[Image.Image]) -> list[str]:
        self.batches.append(len(pictures))
        return ["" if p.size == (1, 1) else f"{p.width} by {p.height}" for p in pictures]


@pytest.fixture
def speaker(monkeypatch: pytest.MonkeyPatch) -> Speaker:
    found = Speaker()
    monkeypatch.setattr(job, "open_captioner", lambda options, name: found)
    return found


def options(folder: Path, **changes: Any) -> CaptionOptions:
    return CaptionOptions(**{"image_dir": folder, "model": "playground", **changes})


def run(folder: Path, stop: Callable[[], bool] = lambda: False, **changes: Any) -> list[Event]:
    return list(caption(options(folder, **changes), stop))


def draw(folder: Path, *names: str, size: tuple[int, int] = (12, 9)) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name in names:
        Image.new("RGB", size).save(folder / name)


def codes(events: list[Event]) -> list[str]:
    return [event.code for event in events if isinstance(event, Warned)]


def texts(folder: Path) -> dict[str, str]:
    found = [*folder.rglob("*.txt"), *folder.rglob("*.caption")]
    return {file.relative_to(folder).as_posix(): file.read_text("utf-8") for file in found}


def test_a_file_beside_each_picture_and_progress(tmp_path: Path, speaker: Speaker) -> None:
    draw(tmp_path, "a.png", "b.v2.jpg", "다람쥐.webp")
    events = run(tmp_path, batch_size=2)
    names = ("a.txt", "b.v2.txt", "다람쥐.txt")
    assert texts(tmp_path) == dict.fromkeys(names, "12 by 9\n")
    assert speaker.batches == [2, 1]
    assert isinstance(events[0], Planned)
    assert [event.done for event in events if isinstance(event, Advanced)] == [2, 3]
    assert PhaseStarted(phase="captions", total=3) in events
    ended = events[-1]
    assert isinstance(ended, Finished)
    assert not ended.interrupted
    assert set(ended.outputs) == {tmp_path / name for name in names}
    assert {example.caption for example in scan(tmp_path).examples} == {"12 by 9"}


def test_a_folder_in_the_place_of_one_caption_stops_only_that_one(
    tmp_path: Path, speaker: Speaker
) -> None:
    draw(tmp_path, "a.png", "b.png")
    (tmp_path / "a.txt").mkdir()
    with pytest.raises(OutputError) as caught:
        run(tmp_path)
    assert caught.value.code == "caption.blocked"
    assert caught.value.details == {"count": 1, "files": "a.png"}
    assert (tmp_path / "b.txt").read_text(encoding="utf-8") == "12 by 9\n"


def test_a_pipe_in_the_place_of_a_caption_is_refused_and_not_waited_for(
    tmp_path: Path, speaker: Speaker
) -> None:
    draw(tmp_path, "a.png")
    os.mkfifo(tmp_path / "a.txt")
    with pytest.raises(DatasetError) as caught:
        run(tmp_path)
    assert caught.value.code == "dataset.caption_unreadable"
    assert str(tmp_path / "a.txt") in str(caught.value)


def test_captions_that_are_there_are_kept_and_counted(tmp_path: Path, speaker: Speaker) -> None:
    draw(tmp_path, "a.png", "b.png", "c.png", "d.png")
    (tmp_path / "a.txt").write_text("mine", encoding="utf-8")
    (tmp_path / "b.caption").write_text("mine too", encoding="utf-8")
    (tmp_path / "c.txt").write_text(" \n", encoding="utf-8")
    events = run(tmp_path)
    expected = {"a.txt": "mine", "b.caption": "mine too", "c.txt": "12 by 9\n"}
    assert texts(tmp_path) == {**expected, "d.txt": "12 by 9\n"}
    kept = next(event for event in events if isinstance(event, Warned))
    assert (kept.code, kept.details["count"]) == ("caption.kept", 2)
    again = run(tmp_path)
    assert not any(isinstance(event, Captioned | PhaseStarted) for event in again)
    assert isinstance(again[0], Planned)
    assert again[0].plan["uncaptioned"] == 0
    run(tmp_path, overwrite=True)
    assert texts(tmp_path)["a.txt"] == "12 by 9\n"


def test_trigger_and_template(tmp_path: Path) -> None:
    def said(**changes: Any) -> str:
        return worded(options(tmp_path, **changes), "a cat")

    assert said() == "a cat"
    assert said(trigger="sks") == "sks, a cat"
    assert said(trigger="A cat") == "a cat"
    assert said(template="art of {caption}") == "art of a cat"
    assert said(template="art of {caption}", trigger="sks") == "sks, art of a cat"
    assert said(template="{caption} by {trigger}", trigger="sks") == "a cat by sks"
    for template, code in (
        ("art", "caption.template_empty"),
        ("{x}", "caption.template_field"),
        ("{caption} {trigger}", "caption.template_trigger"),
    ):
        with pytest.raises(UsageError) as caught:
            said(template=template)
        assert caught.value.code == code


def test_folders_that_are_captioned(tmp_path: Path, speaker: Speaker) -> None:
    draw(tmp_path / "10_cat", "a.png")
    draw(tmp_path / "3_dog", "a.png")
    draw(tmp_path / "other" / "deep", "a.png")
    assert "dataset.folders_left_out" in codes(run(tmp_path))
    assert texts(tmp_path).keys() == {"10_cat/a.txt", "3_dog/a.txt"}
    run(tmp_path, recursive=True)
    assert "other/deep/a.txt" in texts(tmp_path)
    with pytest.raises(DatasetError):
        run(tmp_path / "absent")


def test_pictures_without_a_caption_are_told(tmp_path: Path, speaker: Speaker) -> None:
    draw(tmp_path, "a.png", "twin.jpg", "twin.png")
    draw(tmp_path, "dot.png", size=(1, 1))
    (tmp_path / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    found = codes(run(tmp_path))
    expected = ["caption.nothing_said", "caption.shared", "dataset.picture_unreadable"]
    assert sorted(found) == expected
    assert texts(tmp_path).keys() == {"a.txt", "twin.txt"}


def test_stopping_leaves_whole_batches_and_going_on_does_the_rest(
    tmp_path: Path, speaker: Speaker
) -> None:
    draw(tmp_path, "a.png", "b.png", "c.png")
    ended = run(tmp_path, lambda: True, batch_size=2)[-1]
    assert isinstance(ended, Finished)
    assert ended.interrupted
    assert len(ended.outputs) == 2
    ended = run(tmp_path)[-1]
    assert isinstance(ended, Finished)
    assert ended.outputs == (tmp_path / "c.txt",)


def test_options_of_the_other_kind_are_told(tmp_path: Path, speaker: Speaker) -> None:
    draw(tmp_path, "a.png")
    events = run(tmp_path, remove_underscore=True, threshold=0.5, num_beams=2)
    told = next(event for event in events if isinstance(event, Warned))
    assert told.code == "caption.idle_options"
    assert told.details["names"] == "--threshold, --remove_underscore"


def test_a_captioner_that_is_none_stops_before_anything_is_written(tmp_path: Path) -> None:
    draw(tmp_path, "a.png")
    with pytest.raises(ModelError) as caught:
        run(tmp_path, model=str(tmp_path))
    assert caught.value.code == "captioner.none"
    assert texts(tmp_path) == {}


def test_undesired_tags_as_kohya_writes_them(tmp_path: Path) -> None:
    assert options(tmp_path, undesired_tags="a_b, c,,").undesired_tags == ("a_b", "c")
    assert options(tmp_path, caption_extension="caption").caption_extension == ".caption"


def test_the_packaged_captioner_tells_held_out_scenes_in_every_style(tmp_path: Path) -> None:
    generator = np.random.default_rng(2026)
    scenes = [
        sample_scene(generator, held_out=True, pair_share=0.0) for _ in range(4 * len(STYLES))
    ]
    names = [f"{number:02d} {list(STYLES)[number % len(STYLES)]}" for number in range(len(scenes))]
    for scene, name in zip(scenes, names, strict=True):
        picture = render(scene, name.split()[1], 192)  # resized by the processor
        Image.fromarray(picture).save(tmp_path / f"{name}.png")
    run(tmp_path, trigger="sks", batch_size=24, device="cpu")
    right: dict[str, int] = dict.fromkeys(STYLES, 0)
    for scene, name in zip(scenes, names, strict=True):
        text = (tmp_path / f"{name}.txt").read_text("utf-8")
        assert text.startswith("sks, ")
        truth = frozenset((thing.colour, thing.kind) for thing in scene.things)
        right[name.split()[1]] += things_named(text) == truth
        assert place_named(text) is not None
    assert min(right.values()) >= 3, right
    assert sum(right.values()) >= 0.95 * len(scenes), right
