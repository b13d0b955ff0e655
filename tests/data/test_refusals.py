"""What the check finds before training would: sizes by the buckets' own rule, triggers, pipes."""

from __future__ import annotations

import os
import random
import threading
from pathlib import Path

import pytest

from loraloom.data.bucket import Bucketing
from loraloom.data.caption_files import read_caption
from loraloom.data.captions import Caption
from loraloom.data.checks.captions import common_tag
from loraloom.data.checks.pictures import MOST_CUT
from loraloom.data.checks.table import examine
from loraloom.data.look import Look, look_at
from loraloom.data.order import MOST_USES, epoch_order
from loraloom.data.picture import Picture
from loraloom.data.source import Source
from loraloom.data.survey import Aim, Entry, Survey, find_all

BUCKETS = {
    512: Bucketing(resolution=(512, 512), step=64, smallest=256, largest=1024),
}


@pytest.fixture
def survey(tree):
    """Return a function that makes a survey of one picture, of any size, and its captions."""
    root = tree({"1_x/a.png": None})

    def make(
        *captions: str,
        size: tuple[int, int] = (512, 512),
        side: int = 512,
        repeats: int = 1,
        regularisation: bool = False,
    ) -> Survey:
        source = Source(folder=root, regularisation=regularisation)
        (subset,), _ = find_all([source])
        object.__setattr__(subset, "repeats", repeats)
        path = root / "1_x" / "a.png"
        look = Look(path=path, picture=Picture(width=size[0], height=size[1]))
        entries = [
            Entry(
                path=path,
                name=f"{number}.png",
                subset=subset,
                look=look,
                caption=Caption(text=text, origin="file"),
            )
            for number, text in enumerate(captions or ["x"])
        ]
        return Survey(
            aim=Aim(resolution=(side, side), bucketing=BUCKETS[side]),
            subsets=(subset,),
            entries=tuple(entries),
            alone=(),
            shared=(),
            remarks=(),
        )

    return make


# Each factor is the side of the bucket that the picture must cover over its own: 512 / 60,
# 512 / 416, 256 / 50 (1024x256 is the flattest bucket), 256 / 2, 256 / 20, and 640 / 600.
@pytest.mark.parametrize(
    ("size", "code", "factor"),
    [
        ((60, 60), "dataset.picture_too_small", "8.5"),
        ((416, 416), "dataset.picture_enlarged", "1.2"),
        ((8000, 50), "dataset.picture_too_small", "5.1"),
        ((8_000_000, 2), "dataset.picture_too_small", "128.0"),
        ((2000, 20), "dataset.picture_too_small", "12.8"),
        ((600, 400), "dataset.picture_enlarged", "1.07"),
    ],
)
def test_pictures_are_enlarged_as_their_bucket_asks(survey, size, code, factor):
    found = {each.code: each for each in examine(survey(size=size))}
    assert found[code].details["factor"] == factor
    assert not {"dataset.picture_enlarged", "dataset.picture_too_small"} - {code} & set(found)


@pytest.mark.parametrize(("size", "share"), [((8000, 400), "80%"), ((8000, 1500), "25%")])
def test_shapes_that_no_bucket_has_are_told(survey, size, share):
    found = {each.code: each for each in examine(survey(size=size))}
    # Of 20:1 and of 5.33:1, what is left in a bucket of 4:1.
    assert 1 - 4 / (size[0] / size[1]) == pytest.approx(float(share[:-1]) / 100, abs=0.005)
    told = found.get("dataset.picture_cut")
    assert (told.details["share"] if told else "25%") == share


@pytest.mark.parametrize(("side", "smallest", "largest"), [(512, 256, 1024), (1024, 512, 2048)])
def test_rounding_to_buckets_is_never_told(side, smallest, largest):
    buckets = Bucketing(resolution=(side, side), step=64, smallest=smallest, largest=largest)
    assert max(buckets.fit(ratio * 10, 1000).cut for ratio in range(25, 401)) < MOST_CUT


@pytest.mark.parametrize(
    ("captions", "word"),
    [
        ([f"mydog sitting on grass {number}" for number in range(24)], "mydog sitting on grass"),
        ([f"pic {number}" for number in range(24)], "pic"),
        (["MyDog runs", "mydog, sitting", "mydog"], "MyDog"),
        (["sks bear, a photo", "sks bear, standing"], "sks bear"),
        (["a photo of a cat", "a photo of a dog"], ""),
        (["one", "two"], ""),
        (["w a"] * 8 + ["x", "y"], "w a"),
        (["w a"] * 7 + ["x", "y", "z"], ""),
        (["alone"], ""),
    ],
)
def test_the_words_that_most_captions_begin_with(survey, captions, word):
    assert common_tag(survey(*captions)) == word


def test_nothing_but_pictures_of_a_class_is_refused(survey):
    codes = {each.code for each in examine(survey(regularisation=True)) if each.severity == "error"}
    assert codes == {"dataset.only_regularisation"}


def test_an_epoch_that_no_order_holds_is_refused(survey, refuses):
    within, beyond = (examine(survey(repeats=MOST_USES + extra)) for extra in (0, 1))
    assert "dataset.epoch_long" not in {each.code for each in within}
    assert "dataset.epoch_long" in {each.code for each in beyond}
    with refuses("dataset.epoch_long", str(MOST_USES)):
        epoch_order([10**6] * 11, random.Random(0))


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes with names here")
def test_a_pipe_is_not_waited_for(tmp_path: Path, refuses):
    picture, caption = tmp_path / "a.png", tmp_path / "a.txt"
    for path in (picture, caption):
        os.mkfifo(path)
    found: list[Look] = []
    looking = threading.Thread(target=lambda: found.extend(look_at([picture])), daemon=True)
    looking.start()
    looking.join(10)
    assert found
    assert found[0].fault is not None
    assert found[0].fault.code == "dataset.picture_unreadable"
    with refuses("dataset.caption_unreadable", "a.txt"):
        read_caption(caption)
