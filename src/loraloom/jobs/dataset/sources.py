"""The places that a person named, as sources of pictures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import final

from loraloom.data.finding import Finding
from loraloom.data.folders import Subset
from loraloom.data.options import DataOptions
from loraloom.data.scan import raise_errors
from loraloom.data.source import Source
from loraloom.data.survey import find_all
from loraloom.events import Warned
from loraloom.jobs.dataset.file import SUFFIX, read_dataset_file
from loraloom.jobs.dataset.options import PlaceOptions
from loraloom.jobs.settling import Given


@final
@dataclass(frozen=True, kw_only=True)
class Named:
    """The sources that were named, the keys that data set files set for the run, and remarks."""

    sources: tuple[Source, ...]
    shared: Mapping[str, Given] = field(default_factory=dict[str, Given])
    notes: tuple[Warned, ...] = ()


def name_sources(places: Sequence[Path], like: Source) -> Named:
    """Return the sources of folders, which are read as `like` says, and of data set files."""
    sources: list[Source] = []
    shared: dict[str, Given] = {}
    notes: list[Warned] = []
    for place in places:
        if place.suffix.lower() == SUFFIX:
            file = read_dataset_file(place)
            sources += file.sources
            shared |= file.shared
            notes += file.notes
        else:
            sources.append(replace(like, folder=place, label=str(place)))
    if len(sources) == 1:
        sources = [replace(sources[0], label="")]
    return Named(sources=tuple(sources), shared=shared, notes=tuple(notes))


def source_like(data: DataOptions) -> Source:
    """Return how the options of training data say that a folder is to be read."""
    return Source(
        folder=data.train_data_dir,
        repeats=data.num_repeats,
        recursive=data.recursive,
        caption_column=data.caption_column,
        caption_encoding=data.caption_encoding,
    )


def regularisation_sources(data: DataOptions) -> tuple[Source, ...]:
    """Return the folder of regularisation pictures that the options of training data name."""
    folder = data.reg_data_dir
    if folder is None:
        return ()
    like = source_like(data)
    label, words = str(folder), data.class_prompt
    return (replace(like, folder=folder, label=label, words=words, regularisation=True),)


def find_places(place: PlaceOptions) -> tuple[list[Subset], list[Finding]]:
    """Return the subsets of the folders that options name; DatasetError where one has none, or
    rows that cannot be read.
    """
    named = name_sources(place.folders, place.like())
    subsets, remarks = find_all(named.sources, caption_extension=place.caption_extension)
    raise_errors(remarks)
    return list(subsets), list(remarks)
