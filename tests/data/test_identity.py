"""A picture that is met by several names or ways is one picture."""

from __future__ import annotations

import os

import pytest

from loraloom.data.source import Source
from loraloom.data.survey import find_all


def _found(*folders, **options):
    sources = [Source(folder=folder, label=str(folder), **options) for folder in folders]
    subsets, remarks = find_all(sources)
    names = [str(path) for subset in subsets for _, path in subset.pictures()]
    return names, {each.code: each.files for each in remarks}, subsets


def test_a_folder_that_is_named_twice_counts_once(tree):
    root = tree({"10_a/x.png": None, "10_a/y.png": None})
    below = root / "10_a"
    for folders in ((root, root), (root, below), (below, root), (root, root / "." / "10_a")):
        names, remarks, _ = _found(*folders)
        assert sorted(map(os.path.realpath, names)) == [str(below / n) for n in ("x.png", "y.png")]
        assert list(remarks) == ["dataset.folder_twice"]


def test_what_lies_below_a_folder_named_before_counts_once(tree):
    root = tree({"x.png": None, "a/y.png": None})
    names, remarks, _ = _found(root / "a", root, recursive=True)
    assert names == [str(root / "a/y.png"), str(root / "x.png")]
    assert remarks == {"dataset.picture_twice": (f"{root}/a/y.png",)}


@pytest.mark.parametrize("link", [os.symlink, os.link])
def test_links_to_a_file_are_names_of_one_picture(tree, link):
    root = tree({"b.png": None})
    link(root / "b.png", root / "a.png")
    names, remarks, (subset,) = _found(root)
    kept, other = ("b.png", "a.png") if link is os.symlink else ("a.png", "b.png")
    assert names == [str(root / kept)]
    assert remarks == {"dataset.picture_twice": (f"{root}/{other}",)}
    assert subset.further == {root / kept: (root / other,)}
