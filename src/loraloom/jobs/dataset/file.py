"""A data set's own file in kohya's form: `[general]`, `[[datasets]]`, `[[datasets.subsets]]`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final, final

from loraloom.data.options import DataOptions
from loraloom.data.source import Source
from loraloom.errors import UsageError
from loraloom.events import Warned
from loraloom.jobs.dataset.levels import read_levels
from loraloom.jobs.dataset.subset_options import RENAMED, WHOLE, SubsetOptions, canonical_name
from loraloom.jobs.keys import keys_of
from loraloom.jobs.settling import Given, collect, raise_all, settle

SUFFIX: Final = ".toml"
"""The ending of such a file, which tells it from a folder."""


@final
@dataclass(frozen=True, kw_only=True)
class DatasetFile:
    """The subsets of a file, and the keys that hold for the run, by their canonical name."""

    sources: tuple[Source, ...]
    shared: Mapping[str, Given]
    notes: tuple[Warned, ...]


def read_dataset_file(path: Path) -> DatasetFile:
    """Read a file of kohya's form; all that is off is told in one `UsageError`.

    Beside kohya's keys a subset may have `weight`, `recursive` and `caption_column`. A key that
    all subsets agree on holds for the run; another one is in the settings of its source. A
    relative `image_dir` starts at the working folder, as in sd-scripts.
    """
    levels = read_levels(path)
    if not levels.subsets and not levels.errors:
        raise UsageError("dataset_file.no_subsets", path=path)
    subsets = collect(levels.errors, [partial(_Subset.of, table) for table in levels.subsets])
    raise_all(levels.errors)
    shared = _shared(subsets)
    sources = tuple(subset.source(without=shared) for subset in subsets)
    return DatasetFile(sources=sources, shared=shared, notes=levels.notes)


def with_dataset_file(adapter: Mapping[str, Given]) -> Mapping[str, Given]:
    """Return an adapter's values with those that its data set file sets for the whole run.

    What the adapter says itself wins. Without a trigger its name is the file's.
    """
    place = adapter.get("train_data_dir")
    if place is None or Path(str(place.value)).suffix.lower() != SUFFIX:
        return adapter
    path = Path(str(place.value))
    name = {} if "trigger" in adapter else {"name": Given(spelling="name", value=path.stem)}
    return {**name, **read_dataset_file(path).shared, **adapter}


@final
@dataclass(frozen=True)
class _Subset:
    """One subset: what it says of itself, and its options of training, as written and settled."""

    own: SubsetOptions
    given: Mapping[str, Given]
    data: DataOptions

    @classmethod
    def of(cls, table: Mapping[str, Given]) -> _Subset:
        """Settle a subset's values; what is off is a `UsageError`."""
        names = {key.name for key in keys_of(SubsetOptions)}
        found = {canonical_name(spelling): given for spelling, given in table.items()}
        own = settle(SubsetOptions, {name: g for name, g in found.items() if name in names})
        given = {name: g for name, g in found.items() if name not in names}
        data = {name: g for name, g in given.items() if name in DataOptions.model_fields}
        folder = Given(spelling="image_dir", value=str(own.image_dir))
        return cls(own, given, settle(DataOptions, {**data, "train_data_dir": folder}))

    def source(self, *, without: Mapping[str, Given]) -> Source:
        """Return the source, with the settings that do not hold for the whole run."""
        own = self.own
        return Source(
            folder=own.image_dir,
            repeats=own.num_repeats,
            literal=True,
            words=own.class_tokens,
            recursive=own.recursive,
            caption_extension=own.caption_extension,
            caption_column=own.caption_column,
            caption_encoding=own.caption_encoding,
            regularisation=own.is_reg,
            weight=own.weight,
            label=str(own.image_dir),
            settings={n: getattr(self.data, n) for n in self.given if n not in without},
        )


def _shared(subsets: Sequence[_Subset]) -> Mapping[str, Given]:
    """Return the keys on which all subsets agree; those of whole data sets must be among them."""
    first, *others = subsets
    agreed = {
        name: given
        for name, given in first.given.items()
        if all(name in each.given and each.given[name].value == given.value for each in others)
    }
    whole = {RENAMED.get(name, name) for name in WHOLE}
    for subset in subsets:
        for name, given in subset.given.items():
            if name in whole and name not in agreed:
                raise UsageError("dataset_file.differ", given=given)
    return agreed
