"""Which folders a training folder stands for, at whatever level it is named."""

from __future__ import annotations

from pathlib import Path

import pytest

from loraloom.data.folders import find_subsets
from loraloom.data.source import Source


def _subsets(root: Path, **options):
    found, _ = find_subsets(Source(folder=root, **options))
    return [
        (
            subset.title,
            subset.repeats,
            subset.words,
            [subset.told(path) for _, path in subset.pictures()],
            subset.source.regularisation,
        )
        for subset in found
    ]


PROJECT = {
    "train/20_svs bear/a.png": None,
    "train/20_svs bear/b.png": None,
    "reg/1_bear/c.png": None,
    "log/x.txt": "x",
}


@pytest.mark.parametrize("training", ["train", "img", "Image", "images"])
@pytest.mark.parametrize("company", ["reg", "regularization"])
def test_a_project_is_its_training_folder_with_its_class_pictures(tree, training, company):
    root = tree(
        {
            f"{training}/20_svs bear/a.png": None,
            f"{company}/1_bear/c.png": None,
            "model/x.safetensors": "",
        }
    )
    place, name = f"{training}/20_svs bear", f"{company}/1_bear"
    assert _subsets(root) == [
        (place, 20, "svs bear", [f"{place}/a.png"], False),
        (name, 1, "bear", [f"{name}/c.png"], True),
    ]


def test_the_same_pictures_are_found_from_every_level(tree):
    root = tree(PROJECT)
    expected = [20, "svs bear", ["a.png", "b.png"], False]
    for place in (root, root / "train", root / "train" / "20_svs bear"):
        _, repeats, words, names, regularisation = _subsets(place)[0]
        assert [repeats, words, [Path(n).name for n in names], regularisation] == expected
    assert len(_subsets(root)) == 2
    assert len(_subsets(root / "train")) == 1


def test_two_training_folders_are_not_guessed_between(tree, refuses):
    root = tree({"img/1_a/a.png": None, "train/1_b/b.png": None})
    with refuses("dataset.folder_above", str(root / "img"), str(root / "train")):
        find_subsets(Source(folder=root))


def test_recursion_takes_what_is_below_and_keeps_numbers_and_tables_apart(tree):
    row = '{"file_name": "e.png", "text": "a"}\n'
    root = tree(
        {
            "a.png": None,
            "deep/b.png": None,
            "deep/deeper/c.png": None,
            "deep/5_sks/d.png": None,
            "table/e.png": None,
            "table/metadata.jsonl": row,
            ".hidden/x.png": None,
        }
    )
    assert _subsets(root, recursive=True, repeats=2) == [
        ("set", 2, "", ["a.png", "deep/b.png", "deep/deeper/c.png"], False),
        ("table", 2, "", ["table/e.png"], False),
        ("deep/5_sks", 5, "sks", ["deep/5_sks/d.png"], False),
    ]
    assert [names for *_, names, _ in _subsets(root)] == [["a.png"]]


def test_recursion_ends_where_a_link_leads_back(tree):
    root = tree({"a.png": None, "below/b.png": None})
    try:
        (root / "below" / "again").symlink_to(root, target_is_directory=True)
    except OSError:
        pytest.skip("this system has no links")
    assert [names for *_, names, _ in _subsets(root, recursive=True)] == [["a.png", "below/b.png"]]


def test_a_literal_folder_means_nothing_by_its_name(tree):
    root = tree({"10_sks/a.png": None, "10_sks/3_more/b.png": None})
    (subset,) = _subsets(root / "10_sks", literal=True, repeats=4, words="a dog")
    assert subset == ("10_sks", 4, "a dog", ["a.png"], False)


def test_labels_tell_the_pictures_of_several_sources_apart(tree):
    root = tree({"1_a/a.png": None})
    (subset,), _ = find_subsets(Source(folder=root, label="one"))
    assert (subset.title, [subset.told(p) for _, p in subset.pictures()]) == (
        "one/1_a",
        ["one/1_a/a.png"],
    )
