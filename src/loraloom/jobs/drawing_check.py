"""What a job of drawing needs, found and proved before anything heavy is imported."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

from loraloom.formats.obstacle import require_writable
from loraloom.generation.request import SamplingSettings
from loraloom.jobs.base_check import check_base
from loraloom.jobs.drawing_options import DrawingOptions
from loraloom.jobs.library import Library, require_folders
from loraloom.jobs.lora_check import check_lora
from loraloom.models.geometry import Geometry


def check_drawing(options: DrawingOptions, names: Iterable[str]) -> Mapping[str, Path]:
    """Return the LoRA files of the names that prompts use.

    Raises what can be known to be wrong by then: an unknown sampler or LoRA, a base or LoRA that
    cannot be read or does not fit, a size that the base cannot draw.
    """
    options.sampler_labels()
    names = dict.fromkeys(names)
    require_folders(options.lora_dir)
    library = Library.of(options.lora_dir) if names else Library({})
    files = {name: library.find(name) for name in names}
    base = check_base(options.model)
    if base.found.geometry is not None:
        settings_for(options, base.found.geometry)
    for name, path in files.items():
        check_lora(name, path, base)
    return files


def check_pictures(paths: Iterable[Path]) -> None:
    """Raise OutputError if a picture could not be written to one of these paths."""
    for path in paths:
        require_writable(path)


def settings_for(options: DrawingOptions, geometry: Geometry) -> SamplingSettings:
    """Return the settings, in the model's own size where none is asked for.

    A size, a layer or a number of steps that the model does not have is a `UsageError`.
    """
    sampler, schedule = options.sampler_labels()
    settings = SamplingSettings(
        sampler=sampler,
        schedule=schedule,
        steps=options.steps,
        cfg_scale=options.cfg_scale,
        width=options.width or geometry.resolution,
        height=options.height or geometry.resolution,
        clip_skip=options.clip_skip,
    )
    geometry.latent_shape(settings.width, settings.height)
    geometry.check_clip_skip(settings.clip_skip)
    geometry.check_steps(settings.steps)
    return settings
