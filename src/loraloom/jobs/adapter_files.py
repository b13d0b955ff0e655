"""Where a run writes its adapters, named as kohya's trainer names them."""

from __future__ import annotations

import re
from pathlib import Path

from loraloom.formats.table import codec_named
from loraloom.jobs.recipe import Recipe


def final_path(recipe: Recipe, name: str) -> Path:
    """Return where a finished adapter is written: a file, or a folder in PEFT's format."""
    return recipe.output_dir / f"{name}{_suffix(recipe)}"


def step_path(recipe: Recipe, name: str, step: int) -> Path:
    """Return where an adapter is written on its way."""
    return final_path(recipe, f"{name}-step{step:08d}")


def epoch_path(recipe: Recipe, name: str, epoch: int) -> Path:
    """Return where an adapter is written after an epoch."""
    return final_path(recipe, f"{name}-{epoch:06d}")


def step_of(recipe: Recipe, name: str, path: Path, steps_per_epoch: int) -> int | None:
    """Return the step after which an adapter would be written to `path`, None if never.

    This undoes `step_path` and `epoch_path`.
    """
    suffix = _suffix(recipe)
    stem = path.name.removesuffix(suffix) if path.name.endswith(suffix) else ""
    found = re.fullmatch(rf"{re.escape(name)}-(step)?(\d+)", stem)
    return None if found is None else int(found[2]) * (1 if found[1] else steps_per_epoch)


def are_folders(recipe: Recipe) -> bool:
    """Tell whether each adapter is a folder of files."""
    return codec_named(recipe.save_format).is_folder


def _suffix(recipe: Recipe) -> str:
    return "" if are_folders(recipe) else ".safetensors"
