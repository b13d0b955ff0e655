"""The latents of the pictures of a run: how each picture is shown, and where its latents are."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias, final

from loraloom.data.cache import LatentCache, Memory, Shelf
from loraloom.data.shot import Shot
from loraloom.data.store import LatentStore
from loraloom.events import Advanced, Event, PhaseStarted
from loraloom.jobs.adapter_plan import AdapterPlan
from loraloom.jobs.cache_options import cache_folder
from loraloom.jobs.recipe import Recipe
from loraloom.jobs.seeing import augmentation_of, is_coloured, mask_sources, options_of
from loraloom.models.model import AbstractModel


@final
@dataclass(frozen=True)
class Latents:
    """One adapter's pictures as they are shown, one per example, and where their latents are."""

    shots: tuple[Shot, ...]
    cache: LatentCache


Shelves: TypeAlias = Callable[[AdapterPlan], Shelf | None]
"""Returns where an adapter's latents are kept, None if they are encoded anew at each use."""


def cache_latents(
    model: AbstractModel, plans: Sequence[AdapterPlan], shelves: Shelves | None = None
) -> Iterator[Event | Mapping[str, Latents]]:
    """Encode all pictures, yielding progress and at the end the latents by adapter name.

    Without `shelves` they are kept in memory, whatever the options say.
    """
    total = sum(len(plan.scan.examples) for plan in plans)
    yield PhaseStarted(phase="latents", total=total)
    latents: dict[str, Latents] = {}
    before = 0
    for plan in plans:
        shelf = Memory() if shelves is None else shelves(plan)
        cache = LatentCache(model.encode_image, shelf)
        shots = _shots(plan, model)
        latents[plan.options.name] = Latents(shots, cache)
        first = secrets.randbelow(len(shots)) if isinstance(shelf, LatentStore) else 0
        for done in cache.fill(shots, first=first):
            yield Advanced(phase="latents", done=before + done)
        before += len(shots)
    yield latents


def shelves_of(recipe: Recipe, model: AbstractModel) -> Shelves:
    """Return where the latents of a run's adapters are kept."""
    folder = cache_folder(recipe.cache_dir) if recipe.cache_latents_to_disk else None
    store = None if folder is None else _store(folder, model)

    def shelf(plan: AdapterPlan) -> Shelf | None:
        if recipe.cache_latents is False or is_coloured(plan.scan.examples, plan.options.data):
            return None
        return Memory() if store is None else store

    return shelf


def _store(folder: Path, model: AbstractModel) -> LatentStore:
    return LatentStore(
        folder,
        encoder=model.image_encoder_hash(),
        dtype=str(model.dtype).removeprefix("torch."),
        title=model.name,
    )


def _shots(plan: AdapterPlan, model: AbstractModel) -> tuple[Shot, ...]:
    """Return how each example is shown."""
    data = plan.options.data
    for size in set(plan.sizes):
        model.latent_shape(*size)
    masks = mask_sources(plan.scan.examples, data)
    return tuple(
        Shot(
            path=example.path,
            size=(example.width, example.height),
            target=fit.bucket,
            scaled=fit.resized,
            augmentation=augmentation_of(options_of(example, data)),
            mask=mask,
        )
        for example, fit, mask in zip(plan.scan.examples, plan.fits, masks, strict=True)
    )
