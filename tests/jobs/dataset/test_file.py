"""Data set files of kohya's form: levels, repeats, what is refused, and training by one."""

from __future__ import annotations

from pathlib import Path

import pytest

from loraloom.errors import UsageError
from loraloom.jobs.dataset.file import read_dataset_file
from loraloom.jobs.recipe import Recipe

FILE = """
[general]
shuffle_caption = true
keep_tokens = 1

[[datasets]]
resolution = [512, 768]
batch_size = 4

  [[datasets.subsets]]
  image_dir = "photos/dog"
  num_repeats = 10
  class_tokens = "mydog dog"
  caption_extension = ".caption"
  keep_tokens = 2

  [[datasets.subsets]]
  image_dir = "photos/reg"
  is_reg = true
  class_tokens = "dog"

[[datasets]]
resolution = [512, 768]
batch_size = 4
keep_tokens = 3

  [[datasets.subsets]]
  image_dir = "photos/more"
  recursive = true
  weight = 0.5
"""


def _written(folder: Path, text: str) -> Path:
    path = folder / "dogs.toml"
    path.write_text(text, encoding="utf-8")
    return path


def _refused(folder: Path, text: str) -> list[UsageError]:
    with pytest.raises(UsageError) as caught:
        read_dataset_file(_written(folder, text))
    for language, fix in (("en", "\nFix: "), ("ko", "\n해결: ")):
        assert fix in caught.value.message(language)
    return list(getattr(caught.value, "errors", (caught.value,)))


def test_inner_levels_win_over_outer_ones(tmp_path):
    file = read_dataset_file(_written(tmp_path, FILE))
    dog, reg, more = file.sources
    assert [source.folder for source in file.sources] == [
        Path("photos/dog"),
        Path("photos/reg"),
        Path("photos/more"),
    ]
    assert (dog.repeats, dog.words, dog.caption_extension) == (10, "mydog dog", ".caption")
    assert (reg.regularisation, reg.words, reg.repeats) == (True, "dog", 1)
    assert (more.recursive, more.weight, more.regularisation) == (True, 0.5, False)
    assert all(source.literal for source in file.sources)
    shared = {name: given.value for name, given in file.shared.items()}
    assert shared == {
        "shuffle_caption": True,
        "resolution": [512, 768],
        "train_batch_size": 4,
    }
    settings = [dict(source.settings) for source in file.sources]
    assert settings == [{"keep_tokens": 2}, {"keep_tokens": 1}, {"keep_tokens": 3}]
    assert file.notes == ()


SUBSET = '[[datasets]]\n[[datasets.subsets]]\nimage_dir = "a"\n'


@pytest.mark.parametrize(
    ("text", "code", "said"),
    [
        (SUBSET + "num_repeat = 2", "recipe.unknown_near", "num_repeats"),
        (SUBSET + "keep_token = 2", "recipe.unknown_near", "keep_tokens"),
        (SUBSET + "xyzzy = 2", "dataset_file.unknown", "dogs.toml:4"),
        (SUBSET + "resolution = 512", "dataset_file.level", "[[datasets]]"),
        (SUBSET + "enable_bucket = true", "dataset_file.level", "[[datasets]]"),
        (SUBSET + 'metadata_file = "a.json"', "dataset_file.not_offered", "metadata_file"),
        (SUBSET + 'num_repeats = "many"', "option.expects_integer", "dogs.toml:4"),
        (SUBSET + "num_repeats = 0", "option.bounds", "≥ 1"),
        (SUBSET + "keep_tokens = -1", "option.bounds", "≥ 0"),
        (SUBSET + "weight = 0", "option.bounds", "> 0"),
        ("is_reg = true\n" + SUBSET, "dataset_file.level", "subsets"),
        ("keep_tokens = 1\n" + SUBSET, "dataset_file.level", "[general]"),
        ("[general]\nis_reg = true\n" + SUBSET, "dataset_file.level", "subsets"),
        ("[genral]\nkeep_tokens = 1\n" + SUBSET, "recipe.unknown_near", "general"),
        ("[[datasets]]\nresolution = 512\n", "dataset_file.no_subsets", "image_dir"),
        (
            "[[datasets]]\n[[datasets.subsets]]\nnum_repeats = 2\n",
            "dataset_file.folder_missing",
            "image_dir",
        ),
        ("[general\n", "recipe.not_toml", "dogs.toml"),
        ("[datasets]\n", "dataset_file.not_tables", "[[datasets]]"),
    ],
)
def test_what_is_off_is_told_with_what_would_be_right(tmp_path, text, code, said):
    (error,) = _refused(tmp_path, text)
    assert error.code == code
    assert said in error.message("en")


def test_all_that_is_off_is_told_at_once(tmp_path):
    errors = _refused(tmp_path, SUBSET + "num_repeat = 2\nflip_augment = true\nxyzzy = 1")
    assert [error.details["key"] for error in errors] == [
        "dogs.toml:4: num_repeat",
        "dogs.toml:5: flip_augment",
        "dogs.toml:6: xyzzy",
    ]


def test_data_sets_of_one_adapter_must_agree_on_its_size(tmp_path):
    text = f"{SUBSET}[[datasets]]\nresolution = 256\n[[datasets.subsets]]\nimage_dir = 'b'\n"
    (error,) = _refused(tmp_path, text)
    assert (error.code, error.details["given"].value) == ("dataset_file.differ", 256)


def test_a_recipe_takes_what_the_file_says_for_the_whole_run_and_says_the_rest_itself(tmp_path):
    path = _written(tmp_path, FILE)
    recipe = Recipe.load(overrides={"model": "m", "dataset_config": str(path), "batch_size": 2})
    (adapter,) = recipe.adapters
    assert adapter.name == "dogs"
    assert adapter.data.train_data_dir == path
    assert (adapter.data.resolution, adapter.data.shuffle_caption) == ((512, 768), True)
    assert (adapter.data.keep_tokens, adapter.training.train_batch_size) == (0, 2)


def test_buckets_are_set_for_a_whole_data_set(tmp_path):
    path = _written(tmp_path, f"[general]\nenable_bucket = false\nmin_bucket_reso = 320\n{SUBSET}")
    (adapter,) = Recipe.load(overrides={"model": "m", "data": str(path)}).adapters
    assert (adapter.data.enable_bucket, adapter.data.min_bucket_reso) == (False, 320)


def test_such_a_file_in_the_place_of_a_recipe_is_told_apart(tmp_path):
    path = _written(tmp_path, FILE)
    with pytest.raises(UsageError, match="--dataset_config") as caught:
        Recipe.load(path, overrides={"model": "m"})
    assert caught.value.code == "recipe.dataset_file"
