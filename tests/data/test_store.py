"""Latents on the disk: named by what they are made of, whole or not there, and shared."""

from __future__ import annotations

import os
from dataclasses import replace
from itertools import zip_longest
from pathlib import Path

import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file

from loraloom.data.augment import Augmentation, View
from loraloom.data.cache import LatentCache, Row
from loraloom.data.cached_files import Entry, entries, remove, superfluous, title
from loraloom.data.shot import Shot
from loraloom.data.store import LatentStore

_COUNT = 12


def pictures_in(folder: Path) -> list[Shot]:
    """Return the pictures of a folder, each with two views."""
    augmentation = Augmentation(flip=True)
    paths = sorted(folder.iterdir())
    return [Shot(path=p, size=(8, 8), target=(8, 8), augmentation=augmentation) for p in paths]


def store_in(folder: Path, **changes: str) -> LatentStore:
    """Return a store of one encoder, but for the changes."""
    made = {"encoder": "ab" * 32, "dtype": "float32", "title": "tiny"} | changes
    return LatentStore(folder, **made)


def encoded(pixels):
    """Return what stands for latents: means and deviations."""
    return pixels[:, :2, ::4, ::4] + 0.25, pixels[:, :2, ::4, ::4].abs()


@pytest.fixture
def shots(tmp_path):
    """Return pictures with two views each."""
    folder = tmp_path / "pictures"
    folder.mkdir()
    for i in range(_COUNT):
        Image.new("RGB", (8, 8), (i * 20,) * 3).save(folder / f"{i}.png")
    return pictures_in(folder)


def test_a_later_run_reads_what_an_earlier_one_encoded(tmp_path, shots):
    cache = LatentCache(encoded, store_in(tmp_path / "cache"))
    assert list(cache.fill(shots))[-1] == _COUNT
    uses = [(shot, View(flip=flip)) for shot in shots for flip in (False, True)]

    def never(pixels):
        raise AssertionError

    later = LatentCache(never, store_in(tmp_path / "cache"))
    assert list(later.fill(shots))[-1] == _COUNT
    rows, expected = later.rows(uses), LatentCache(encoded, None).rows(uses)
    assert torch.equal(rows.means, expected.means)
    assert torch.equal(rows.deviations, expected.deviations)
    assert len(list((tmp_path / "pictures").iterdir())) == _COUNT


def test_all_that_latents_depend_on_is_in_the_name(tmp_path, shots):
    store, (shot, other, *_) = store_in(tmp_path), shots
    Image.new("L", (8, 8), 255).save(tmp_path / "mask.png")
    changed = [
        (shot, View()),
        (shot, View(flip=True)),
        (other, View()),
        (replace(shot, target=(8, 4)), View()),
        (replace(shot, target=(8, 4)), View(down=0.0)),
        (replace(shot, target=(4, 4), scaled=(8, 8)), View()),
        (replace(shot, mask="alpha"), View()),
        (replace(shot, mask=tmp_path / "mask.png"), View()),
    ]
    names = [store.path(use) for use in changed]
    names += [store_in(tmp_path, dtype="bfloat16").path(changed[0])]
    names += [store_in(tmp_path, encoder="cd" * 32).path(changed[0])]
    assert len(set(names)) == len(names)
    # Where a picture lies and what it is called does not matter; what is in it does.
    copy = shot.path.with_name("copy.png")
    copy.write_bytes(shot.path.read_bytes())
    assert store.path((replace(shot, path=copy), View())) == names[0]
    Image.new("RGB", (8, 8), (1, 2, 3)).save(shot.path)
    assert store_in(tmp_path).path(changed[0]) != names[0]


def test_nothing_that_is_not_finite_is_written(tmp_path, shots, refuses):
    def encode(pixels):
        means, deviations = encoded(pixels)
        return means + (torch.inf if pixels.mean() > -0.9 else 0), deviations

    cache = LatentCache(encode, store_in(tmp_path / "cache"))
    with refuses("dataset.latents_not_finite", "1.png", exit_code=6):
        list(cache.fill(shots))
    kept = [load_file(entry.path) for entry in entries(tmp_path / "cache")]
    assert all(tensor.isfinite().all() for each in kept for tensor in each.values())


@pytest.mark.parametrize("damage", [b"", b"short", None])
def test_a_damaged_file_is_made_again(tmp_path, shots, damage):
    cache = LatentCache(encoded, store_in(tmp_path))
    list(cache.fill(shots))
    use = (shots[3], View(flip=True))
    path = store_in(tmp_path).path(use)
    whole = path.read_bytes()
    path.write_bytes(whole[:-1] if damage is None else damage)
    assert torch.equal(cache.rows([use]).means, LatentCache(encoded, None).rows([use]).means)
    assert path.read_bytes() == whole


def test_masks_are_kept_with_the_latents(tmp_path, shots):
    shot = replace(shots[0], mask="alpha")
    cache = LatentCache(encoded, store_in(tmp_path))
    list(cache.fill([shot]))
    masks = cache.rows([(shot, View())]).masks
    assert masks is not None
    assert masks.min() == 1


def test_two_processes_may_fill_one_cache(tmp_path, shots):
    stores = [store_in(tmp_path), store_in(tmp_path)]
    count = 0

    def encode(pixels):
        nonlocal count
        count += len(pixels)
        return encoded(pixels)

    places = (0, _COUNT // 2)
    fillings = [
        LatentCache(encode, store).fill(shots, first=first)
        for store, first in zip(stores, places, strict=True)
    ]
    told = list(zip_longest(*fillings))
    assert count == 2 * _COUNT  # what one has encoded, the other leaves
    # After half of the pictures nothing is left to encode, so nothing is told but the end.
    assert told[-1] == (_COUNT, _COUNT)
    assert len(told) == _COUNT // 2 + 1
    # What both of them were about to write comes out the same, whoever was last.
    row = Row(torch.ones(2, 2, 2), torch.ones(2, 2, 2))
    for store in stores:
        store.put((shots[0], View()), row)
    assert {entry.path.suffix for entry in entries(tmp_path)} == {".safetensors"}
    assert len(list(entries(tmp_path))) == 2 * _COUNT
    kept = stores[0].get((shots[0], View()))
    assert kept is not None
    assert torch.equal(kept.mean, row.mean)


def _entry(name: str, size: int, age: float) -> Entry:
    return Entry(path=Path(name), encoder="ab", size=size, used=1e6 - age)


def test_what_is_superfluous():
    old, middle, new = _entry("a.x", 10, 900), _entry("b.x", 20, 500), _entry("c.x", 30, 100)
    dead, young = _entry("d.part", 5, 4000), _entry("e.part", 5, 50)
    found = [new, young, old, dead, middle]

    def chosen(**wanted):
        return [entry.path.name for entry in superfluous(found, now=1e6, **wanted)]

    assert chosen() == ["d.part"]
    assert chosen(everything=True) == ["d.part", "a.x", "b.x", "c.x"]
    assert chosen(unused_for=500) == ["d.part", "a.x"]
    assert chosen(most=65) == ["d.part"]
    assert chosen(most=64) == ["d.part", "a.x"]
    assert chosen(unused_for=500, most=40) == ["d.part", "a.x", "b.x"]
    assert chosen(most=0) == ["d.part", "a.x", "b.x", "c.x"]


def test_using_keeps_and_removing_leaves_no_folder(tmp_path, shots):
    store = store_in(tmp_path)
    list(LatentCache(encoded, store).fill(shots))
    for entry in entries(tmp_path):
        os.utime(entry.path, (0, 0))
    assert store.has((shots[0], View()))
    used = [entry for entry in entries(tmp_path) if entry.used > 0]
    assert [entry.path for entry in used] == [store.path((shots[0], View()))]
    assert title(used[0]) == "tiny"
    (tmp_path / "latents" / "note.txt").write_text("mine")
    for entry in entries(tmp_path):
        remove(entry)
    assert sorted(path.name for path in tmp_path.rglob("*") if "pict" not in str(path)) == [
        "latents",
        "note.txt",
    ]


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
@pytest.mark.parametrize("part", ["mean", "deviation"])
def test_a_file_with_what_is_no_number_counts_as_missing(tmp_path, shots, part, value):
    cache, use = LatentCache(encoded, store_in(tmp_path / "cache")), (shots[0], View())
    expected = cache.rows([use])
    path = store_in(tmp_path / "cache").path(use)
    tensors = load_file(path)
    tensors[part].view(-1)[-1] = value
    save_file(tensors, path)
    rows = cache.rows([use])
    assert torch.equal(rows.means, expected.means)
    assert torch.equal(rows.deviations, expected.deviations)
    assert torch.isfinite(load_file(path)[part]).all()
