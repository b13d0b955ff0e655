"""Buckets: kohya's list and selection, and what every picture in one must be."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loraloom.data.bucket import Bucketing
from loraloom.errors import UsageError

SD = Bucketing(resolution=(512, 512), step=64, smallest=256, largest=1024)
XL = Bucketing(resolution=(1024, 1024), step=64, smallest=512, largest=2048)
KEPT = Bucketing(resolution=(512, 512), step=64, smallest=256, largest=1024, no_upscale=True)
PLAYGROUND = Bucketing(resolution=(128, 128), step=32, smallest=64, largest=256)


def test_the_list_is_kohyas():
    # Made by sd-scripts' library/model_util.py, make_bucket_resolutions, run with these numbers.
    half = [
        (256, 832),
        (256, 896),
        (256, 960),
        (256, 1024),
        (320, 704),
        (320, 768),
        (384, 640),
        (448, 576),
    ]
    assert list(SD.sizes) == sorted([*half, (512, 512), *((h, w) for w, h in half)])
    assert len(XL.sizes) == 33
    assert {(832, 1216), (896, 1152), (1344, 768)} <= set(XL.sizes)
    narrow = Bucketing(resolution=(1024, 1024), step=64, smallest=256, largest=1024)
    assert len(narrow.sizes) == 25
    assert all(1024 in size for size in narrow.sizes)


@pytest.mark.parametrize(
    ("rule", "size", "bucket", "resized"),
    [
        # sd-scripts' library/train_util.py, BucketManager.select_bucket, run with these numbers.
        (SD, (1000, 1500), (384, 640), (427, 640)),
        (SD, (1920, 1080), (640, 384), (683, 384)),
        (SD, (3000, 1000), (832, 256), (832, 277)),
        (SD, (320, 704), (320, 704), (320, 704)),
        (XL, (1000, 1500), (832, 1216), (832, 1248)),
        (XL, (1920, 1080), (1344, 768), (1365, 768)),
        (KEPT, (1000, 1500), (384, 576), (384, 576)),
        (KEPT, (416, 416), (384, 384), (416, 416)),
        (KEPT, (3000, 1000), (768, 256), (768, 256)),
        (KEPT, (1920, 1080), (640, 384), (683, 384)),
    ],
)
def test_the_choice_is_kohyas(rule, size, bucket, resized):
    fit = rule.fit(*size)
    assert (fit.bucket, fit.resized) == (bucket, resized)


@pytest.mark.parametrize(
    ("bounds", "kept"),
    [
        # sd-scripts' adjust_min_max_bucket_reso_by_steps, at 256 pixels and steps of 64: bounds are
        # brought to the step before they are compared with the resolution.
        ((300, 250), (256, 256)),
        ((256, 256), (256, 256)),
        ((319, 193), (256, 256)),
        ((320, 512), None),
        ((256, 192), None),
        ((256, 1024), (256, 1024)),
    ],
)
def test_bounds_are_refused_where_kohya_refuses_them(bounds, kept):
    smallest, largest = bounds

    def rule(**more):
        return Bucketing(resolution=(256, 256), step=64, smallest=smallest, largest=largest, **more)

    if kept is None:
        with pytest.raises(UsageError) as caught:
            rule()
        assert caught.value.code == "bucket.bounds"
        assert rule(no_upscale=True).fit(256, 256).bucket == (256, 256)  # they count for nothing
    else:
        sides = [side for size in rule().sizes for side in size]
        assert kept[0] <= min(sides)
        assert max(sides) <= kept[1]


@given(
    st.sampled_from([SD, XL, KEPT, PLAYGROUND]),
    st.integers(1, 5000),
    st.integers(1, 5000),
)
def test_every_picture_covers_a_bucket_that_the_model_takes(rule, width, height):
    fit = rule.fit(width, height)
    assert all(side % rule.step == 0 and side > 0 for side in fit.bucket)
    assert all(a >= b for a, b in zip(fit.resized, fit.bucket, strict=True))
    assert 0 <= fit.cut < 1
    if rule.no_upscale:
        # Nothing grows, but for what is thinner than one step.
        enlarged = any(a > b for a, b in zip(fit.resized, (width, height), strict=True))
        assert not enlarged or min(width, height, *fit.bucket) <= rule.step
    else:
        assert fit.bucket in rule.sizes
        assert any(a == b for a, b in zip(fit.resized, fit.bucket, strict=True))


def test_without_shapes_there_is_one_size():
    rule = Bucketing(resolution=(512, 768), step=64, smallest=64, largest=64, by_shape=False)
    assert rule.sizes == ((512, 768),)
    assert rule.fit(1000, 1000).resized == (768, 768)
    assert rule.fit(1000, 1000).cut == pytest.approx(1 / 3)


def test_bounds_that_leave_the_resolution_out(refuses):
    with refuses("bucket.bounds", "512", "1024", exit_code=2):
        Bucketing(resolution=(512, 512), step=64, smallest=576, largest=1024)
    with refuses("bucket.bounds", "768", exit_code=2):
        Bucketing(resolution=(512, 768), step=64, smallest=256, largest=640)
