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


def _remarks(root: Path, **options):
    _, found = find_subsets(Source(folder=root, **options))
    return {each.code: each for each in found}


def test_one_stray_picture_does_not_hide_a_training_folder(tree):
    files = {f"img/10_sks bear/{number}.png": None for number in range(3)}
    root = tree({"stray.png": None, **files})
    found = _remarks(root)["dataset.level_wrong"]
    assert found.severity == "warning"
    assert found.files == ("img/10_sks bear",)
    assert (found.details["pictures"], found.details["used"]) == (3, 1)
    assert found.details["candidate"] == str(root / "img")


def test_pictures_far_below_are_told_with_their_number(tree):
    files = {f"1_a/{number}.png": None for number in range(3)}
    root = tree({**files, "1_a/old/older/x.png": None, "1_a/old/older/y.png": None})
    found = _remarks(root)["dataset.folders_left_out"]
    assert found.severity == "warning"
    assert found.details["files"] == "1_a/old/older: 2"


@pytest.mark.parametrize("name", ["reg/1_bear", "model/sample", "log"])
def test_company_is_told_and_no_sign_of_a_wrong_level(tree, name):
    root = tree({"a.png": None, f"{name}/b.png": None, f"{name}/c.png": None})
    assert _remarks(root)["dataset.folders_left_out"].severity == "warning"


def test_a_data_set_file_means_the_folder_that_it_names(tree):
    root = tree({"a.png": None, "b/b.png": None, "b/c.png": None})
    assert _remarks(root, literal=True)["dataset.folders_left_out"].severity == "warning"
    assert not _remarks(root, recursive=True)


def test_the_nearest_usable_folder_is_advised_however_deep_it_is(tree, refuses):
    root = tree({f"a/b/c/d/{name}": None for name in ("train/2_x/a.png", "reg/1_x/b.png")})
    for place in (root, root / "a", root / "a/b/c"):
        with refuses("dataset.folder_above_project", f'"{root}/a/b/c/d"'):
            find_subsets(Source(folder=place))


def test_a_data_set_file_is_advised_by_its_keys(tree, refuses):
    root = tree({"a/x.png": None})
    with refuses("dataset.folder_above_subset", f'"{root}/a"', "image_dir", "recursive = true"):
        find_subsets(Source(folder=root, literal=True))


def test_pictures_of_a_class_are_not_learnt_without_a_word(tree):
    root = tree(PROJECT)
    for place in (root / "reg", root / "reg" / "1_bear"):
        assert "dataset.class_taught" in _remarks(place)
    assert "dataset.class_taught" not in _remarks(root)
    assert "dataset.class_taught" not in _remarks(root / "reg", regularisation=True)


def test_repeats_may_begin_with_zeros_as_in_sd_scripts(tree):
    root = tree({"03_w/a.png": None})
    assert [each[1:3] for each in _subsets(root)] == [(3, "w")]


@pytest.mark.parametrize("repeats", ["1000001", "9" * 30])
def test_repeats_past_all_use_are_refused(tree, refuses, repeats):
    root = tree({f"{repeats}_x/a.png": None})
    with refuses("dataset.repeats_many", repeats, "1000000"):
        find_subsets(Source(folder=root))
