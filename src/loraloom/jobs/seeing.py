"""How the options of training data, a subset's own among them, apply to one example."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import groupby
from pathlib import Path

from loraloom.data.augment import Augmentation
from loraloom.data.caption import CaptionRules
from loraloom.data.example import Example
from loraloom.data.mask_faults import Masking
from loraloom.data.mask_files import find_masks
from loraloom.data.options import DataOptions
from loraloom.data.shot import MaskSource
from loraloom.errors import UsageError
from loraloom.jobs.recipe import Recipe


def with_settings(data: DataOptions, settings: Mapping[str, object]) -> DataOptions:
    """Return the options of an adapter's data as a subset with settings of its own has them."""
    return data.model_copy(update=dict(settings)) if settings else data


def options_of(example: Example, data: DataOptions) -> DataOptions:
    """Return the options of an adapter's data as they hold for an example."""
    return with_settings(data, example.settings)


def augmentation_of(data: DataOptions) -> Augmentation:
    """Return what may differ between the uses of a picture."""
    return Augmentation(flip=data.flip_aug, crop=data.random_crop, colour=data.color_aug)


def caption_rules(example: Example, data: DataOptions, steps: int) -> CaptionRules:
    """Return what is done with an example's caption in a training of so many steps.

    Pictures of the class get no trigger.
    """
    rules = rules_of(options_of(example, data), steps)
    return replace(rules, trigger="") if example.regularisation else rules


def rules_of(options: DataOptions, steps: int | None = None) -> CaptionRules:
    """Return what the options do with a caption; `steps` are those of the training, if known."""
    warmup = options.token_warmup_step
    if warmup < 1 and steps is not None:
        warmup = math.floor(warmup * steps)
    return CaptionRules(
        prefix=options.caption_prefix,
        suffix=options.caption_suffix,
        dropout_rate=options.caption_dropout_rate,
        dropout_every_n_epochs=options.caption_dropout_every_n_epochs,
        wildcards=options.enable_wildcard,
        separator=options.caption_separator,
        shuffle=options.shuffle_caption,
        keep_tokens=options.keep_tokens,
        keep_tokens_separator=options.keep_tokens_separator,
        tag_dropout_rate=options.caption_tag_dropout_rate,
        warmup_steps=warmup,
        warmup_least=options.token_warmup_min,
        secondary_separator=options.secondary_separator,
        trigger=options.trigger or "",
    )


def masking_of(options: DataOptions) -> Masking | None:
    """Return where the options say that masks are, None where all of a picture counts."""
    if options.conditioning_data_dir is None and not options.alpha_mask:
        return None
    return Masking(folder=options.conditioning_data_dir, moves=options.random_crop)


def mask_sources(examples: Sequence[Example], data: DataOptions) -> tuple[MaskSource, ...]:
    """Return each example's mask; DatasetError for a folder of masks that lacks one."""
    sources: list[MaskSource] = []
    for folder, group in groupby(examples, key=lambda each: _mask_folder(each, data)):
        same = list(group)
        if folder is None:
            sources.extend(_own_mask(example, data) for example in same)
        else:
            paths = [example.path for example in same]
            found = find_masks(paths, folder)
            sources.extend(found[path] for path in paths)
    return tuple(sources)


def check_views(recipe: Recipe, name: str, examples: Sequence[Example], data: DataOptions) -> None:
    """Raise for masks that are missing, and for a cache of what changes its colours.

    These are a DatasetError and a UsageError.
    """
    mask_sources(examples, data)
    cached = recipe.cache_latents or recipe.cache_latents_to_disk
    if cached and is_coloured(examples, data):
        raise UsageError("cache.colour", name=name)


def is_coloured(examples: Sequence[Example], data: DataOptions) -> bool:
    """Tell whether the colours of some examples change from use to use."""
    return any(options_of(example, data).color_aug for example in examples)


def _mask_folder(example: Example, data: DataOptions) -> Path | None:
    return options_of(example, data).conditioning_data_dir


def _own_mask(example: Example, data: DataOptions) -> MaskSource:
    return "alpha" if options_of(example, data).alpha_mask else None
