"""The check that every training run begins with."""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping

from loraloom.data.scan import Scan, scanned
from loraloom.data.survey import Survey, find_all
from loraloom.events import Event
from loraloom.jobs.dataset.aim import AimedBase, aim_of
from loraloom.jobs.dataset.looking import look
from loraloom.jobs.dataset.sources import name_sources, regularisation_sources, source_like
from loraloom.jobs.recipe import AdapterOptions, Recipe
from loraloom.jobs.seeing import check_views


def check_folders(
    recipe: Recipe, base: AimedBase | None, stop: Callable[[], bool] = lambda: False
) -> Generator[Event, None, Mapping[str, Scan] | None]:
    """Look at the pictures of all adapters; yield progress and return the scans by name.

    If `stop`, asked after each picture, says so, there are none. A folder that cannot be trained
    on is a DatasetError. Without a `base` the size of its pictures is not known.
    """
    scans: dict[str, Scan] = {}
    for adapter in recipe.adapters:
        survey = yield from _check(adapter, base, stop)
        if survey is None:
            return None
        scans[adapter.name] = scanned(survey)
        check_views(recipe, adapter.name, scans[adapter.name].examples, adapter.data)
    return scans


def scan_folders(recipe: Recipe, base: AimedBase | None) -> Mapping[str, Scan]:
    """Look at the pictures of all adapters as `check_folders` does, without telling how far."""
    looking = check_folders(recipe, base)
    while True:
        try:
            next(looking)
        except StopIteration as done:
            return done.value


def _check(
    adapter: AdapterOptions, base: AimedBase | None, stop: Callable[[], bool]
) -> Generator[Event, None, Survey | None]:
    data = adapter.data
    named = name_sources((data.train_data_dir,), source_like(data))
    yield from named.notes
    sources = (*named.sources, *regularisation_sources(data))
    subsets, remarks = find_all(sources, caption_extension=data.caption_extension)
    aim = aim_of(data, base, weighted=adapter.training.weighted_captions)
    phase = f"survey {adapter.name}"
    return (yield from look(subsets, remarks, aim, data.caption_extension, stop, phase=phase))
