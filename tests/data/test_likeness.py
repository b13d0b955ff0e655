"""Nearly equal pictures: found as by comparing all with all, and told from different ones."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image, ImageEnhance, ImageFilter

from loraloom.data.fingerprint import Fingerprint, fingerprint
from loraloom.data.likeness import clusters, near
from loraloom.playground.scenes import sample_scene
from loraloom.playground.styles import STYLES, render


def _print(image: Image.Image) -> Fingerprint:
    return fingerprint(image, image.convert("L"))


def _recompressed(image: Image.Image, quality: int) -> Image.Image:
    content = io.BytesIO()
    image.save(content, "JPEG", quality=quality)
    return Image.open(content).convert("RGB")


CHANGES = {
    "recompressed": lambda image: _recompressed(image, 40),
    "halved": lambda image: image.resize((64, 64), Image.Resampling.LANCZOS),
    "doubled": lambda image: image.resize((256, 256), Image.Resampling.BICUBIC),
    "brightened": lambda image: ImageEnhance.Brightness(image).enhance(1.1),
    "blurred": lambda image: image.filter(ImageFilter.GaussianBlur(1)),
}


@pytest.fixture(scope="module")
def drawings() -> list[Image.Image]:
    generator = np.random.default_rng(5)
    return [Image.fromarray(render(sample_scene(generator), style)) for style in STYLES]


@pytest.mark.parametrize("change", CHANGES)
def test_a_changed_copy_is_nearly_the_same_and_another_drawing_is_not(drawings, change):
    prints = [_print(image) for image in drawings]
    copies = [_print(CHANGES[change](image)) for image in drawings]
    count = len(drawings)
    expected = tuple((number, number + count) for number in range(count))
    assert clusters([*prints, *copies]) == expected
    assert near([prints[0], *copies]).tolist() == [True, True] + [False] * (count - 1)


def test_two_colours_of_one_shape_are_two_pictures():
    red, blue = (Image.new("RGB", (64, 64), "white") for _ in range(2))
    red.paste((220, 30, 30), (16, 16, 48, 48))
    blue.paste((30, 60, 220), (16, 16, 48, 48))
    prints = [_print(red), _print(blue)]
    assert clusters(prints) == ()
    assert near(prints).tolist() == [True, False]


def test_flat_pictures_are_told_by_their_colour():
    flat = [Image.new("RGB", (32, 32), colour) for colour in ("red", "lime", "red", "blue")]
    assert clusters([_print(image) for image in flat]) == ((0, 2),)


def _flipped(bits: bytes, places) -> bytes:
    values = bytearray(bits)
    for place in places:
        values[place // 8] ^= 1 << place % 8
    return bytes(values)


def test_the_index_finds_all_that_comparing_all_with_all_does():
    generator = np.random.default_rng(0)
    colours = bytes(192)
    kept = [generator.bytes(16) for _ in range(300)]
    for distance in range(1, 25):
        places = generator.choice(128, distance, replace=False)
        kept.append(_flipped(kept[distance], places))
    kept += [kept[0]] * 3
    # No two of these are linked through a third, so each group is what its members are near to.
    prints = [Fingerprint(bits=bits, colours=colours) for bits in kept]
    values = np.unpackbits(np.frombuffer(b"".join(kept), np.uint8).reshape(-1, 16), axis=1)
    close = (values[:, None] != values[None]).sum(axis=2) <= 12
    groups = {frozenset(np.flatnonzero(row).tolist()) for row in close if row.sum() > 1}
    assert set(map(frozenset, clusters(prints))) == groups
    assert len(groups) == 12 + 1


def test_a_chain_of_near_pictures_is_one_group():
    start = bytes(16)
    chain = [start]
    for step in range(5):
        chain.append(_flipped(chain[-1], range(10 * step, 10 * step + 10)))
    prints = [Fingerprint(bits=bits, colours=bytes(192)) for bits in chain]
    assert clusters(prints) == (tuple(range(6)),)
    assert near(prints).tolist() == [True, True, False, False, False, False]


def test_nothing_is_like_nothing():
    assert clusters([]) == ()


def test_a_thousand_copies_and_a_thousand_others_take_no_time_to_speak_of():
    generator = np.random.default_rng(1)
    copies = [Fingerprint(bits=bytes(16), colours=bytes(192))] * 1000
    others = [
        Fingerprint(bits=generator.bytes(16), colours=generator.bytes(192)) for _ in range(1000)
    ]
    assert clusters([*copies, *others]) == (tuple(range(1000)),)
