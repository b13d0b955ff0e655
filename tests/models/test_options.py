"""What several jobs ask of a base model is declared once, whatever each calls it."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from loraloom.jobs.demonstration.options import DemoOptions
from loraloom.jobs.drawing_options import GenerateOptions, GridOptions
from loraloom.jobs.keys import Key, keys_of
from loraloom.jobs.recipe import AdapterOptions, Recipe
from loraloom.options import AbstractOptions

JOBS: Mapping[str, tuple[type[AbstractOptions], ...]] = {
    "train": (Recipe, AdapterOptions),
    "generate": (GenerateOptions,),
    "grid": (GridOptions,),
    "demo": (DemoOptions,),
}


def key_of(job: str, name: str) -> Key | None:
    keys = [key for group in JOBS[job] for key in keys_of(group) if name in key.spellings]
    assert len(keys) < 2
    return keys[0] if keys else None


@pytest.mark.parametrize(
    ("name", "jobs"),
    [("model", 3), ("dtype", 3), ("clip_skip", 3), ("device", 4)],
)
def test_a_shared_option_is_the_same_in_every_job(name: str, jobs: int) -> None:
    found = [key for job in JOBS if (key := key_of(job, name)) is not None]
    assert len(found) == jobs
    for key in found:
        assert set(key.spellings) == set(found[0].spellings)
        assert len(set(key.spellings)) == len(key.spellings)
        for part in ("kind", "choices", "bounds", "default", "required", "unit", "hidden"):
            assert getattr(key, part) == getattr(found[0], part), part
        # Training may say more of it, never something else.
        for language, told in found[-1].helps.items():
            assert key.helps[language].startswith(told)


def test_kohyas_names_stand_in_recipes() -> None:
    model, dtype = key_of("train", "model"), key_of("train", "dtype")
    assert model is not None
    assert dtype is not None
    assert (model.name, dtype.name) == ("pretrained_model_name_or_path", "mixed_precision")
