"""What an adapter file is, from its header alone."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar, final

from loraloom.adapters.card import Card
from loraloom.adapters.site import Site
from loraloom.adapters.span import Place
from loraloom.events import Warned
from loraloom.formats.codec import AbstractCodec
from loraloom.formats.contents import Contents
from loraloom.formats.hashes import Hashes, hash_file
from loraloom.formats.header import Entry
from loraloom.formats.outline import Layer, Outline
from loraloom.formats.reading import Reading, outline_of_file, understand
from loraloom.formats.shelf import Shelf, open_shelf
from loraloom.formats.source import Volume, locate, merged_config
from loraloom.formats.table import recognise

Number = TypeVar("Number", int, float)


@final
@dataclass(frozen=True, kw_only=True)
class AdapterSummary:
    """An adapter as its files tell: format, ranks and alphas by site or span, size, card, hashes.

    `size` is in bytes, `hashes` are by file name, none if they were not asked for; `metadata` is
    verbatim, `words` are the token embeddings beside the adapter, `warnings` what its user should
    know.
    """

    format: str
    card: Card
    layers: Mapping[Place, Layer]
    dtypes: tuple[str, ...]
    parameter_count: int
    size: int
    hashes: Mapping[str, Hashes]
    metadata: Mapping[str, str]
    words: tuple[str, ...] = ()
    warnings: tuple[Warned, ...] = ()

    @property
    def kinds(self) -> tuple[str, ...]:
        """The kinds of adapter that occur."""
        return tuple(dict.fromkeys(layer.kind for layer in self.layers.values()))

    @property
    def sites_by_part(self) -> Mapping[str, tuple[Site, ...]]:
        """The sites of each network, those of spans one by one."""
        sites = [site for place in self.layers for site in place.sites]
        return {part: tuple(s for s in sites if s.part == part) for part in _parts(sites)}

    @property
    def ranks(self) -> tuple[int, int] | None:
        """The lowest and the highest rank; None where nothing has one."""
        return _bounds([layer.rank for layer in self.layers.values()])

    @property
    def alphas(self) -> tuple[float, float] | None:
        """The lowest and the highest alpha; None where nothing has one that means something."""
        return _bounds([alpha_of(layer) for layer in self.layers.values()])

    @property
    def scales(self) -> tuple[float, float] | None:
        """The lowest and the highest of what factors are multiplied by; None where nothing is."""
        return _bounds([scale_of(layer) for layer in self.layers.values()])


def alpha_of(layer: Layer) -> float | None:
    """Return an alpha that is the numerator of a scale; None where none is."""
    return layer.told_alpha if layer.layout.has_scale and layer.rank is not None else None


def scale_of(layer: Layer) -> float | None:
    """Return what the product of a layer's factors is multiplied by; None for kinds without.

    It is alpha / rank, times the scale of its own that PEFT's LoKr may have beside it.
    """
    if not layer.layout.has_scale:
        return None
    return layer.scale * float(layer.settings.get("scale", 1.0))


def _bounds(numbers: Iterable[Number | None]) -> tuple[Number, Number] | None:
    known = [number for number in numbers if number is not None]
    return (min(known), max(known)) if known else None


def _parts(sites: Iterable[Site]) -> dict[str, None]:
    return dict.fromkeys(site.part for site in sites)


def describe(path: Path, *, hashed: bool = True, family: str = "") -> AdapterSummary:
    """Summarise the adapter at `path`; tensors are not loaded, nor is torch but for a pickle.

    `hashed` reads the whole file for its hashes; without it the header is all that is read.
    `family` states the model family. A file that cannot be understood is a `ModelError`.
    """
    found = _read(path, family)
    entries, factors = found.entries, found.reading.factor_keys
    return AdapterSummary(
        format=found.codec.name,
        card=found.outline.card,
        layers=found.outline.layers,
        dtypes=tuple(sorted({entries[key].dtype for key in factors})),
        parameter_count=sum(entries[key].count for key in factors),
        size=sum(file.stat().st_size for volume in found.shelves for file in volume.files),
        hashes={
            name: hash_file(volume.weights, shelf.data_start)
            for volume, shelf in found.shelves.items()
            for name in volume.named({volume.weights.name: shelf})
            if hashed
        },
        metadata=found.contents.metadata,
        words=tuple(dict.fromkeys(word.name for word in found.reading.words.values())),
        warnings=found.warnings,
    )


def outline(path: Path) -> Outline:
    """Return which weights the adapter at `path` touches, and its card, from headers alone.

    Errors are those of `describe`.
    """
    return _read(path).outline


@final
@dataclass(frozen=True, kw_only=True)
class _Read:
    """What an adapter's files tell, and what it was understood to mean."""

    shelves: Mapping[Volume, Shelf]
    entries: Mapping[str, Entry]
    contents: Contents
    codec: AbstractCodec
    reading: Reading
    outline: Outline
    warnings: tuple[Warned, ...]


def _read(path: Path, family: str = "") -> _Read:
    volumes = locate(path)
    shelves = {volume: open_shelf(volume) for volume in volumes}
    entries: dict[str, Entry] = {}
    metadata: dict[str, str] = {}
    for volume, shelf in shelves.items():
        entries |= volume.named(shelf.entries)
        metadata |= volume.named(shelf.metadata)
    shapes = {key: entry.shape for key, entry in entries.items()}
    contents = Contents(
        where=str(path),
        shapes=shapes,
        metadata=metadata,
        config=merged_config(volumes),
        on_changed_base=True,
        family=family,
    )
    recognised = recognise(contents)
    codec = recognised.codec
    reading = understand(codec, contents, recognised.claims)
    numbers = _numbers(shelves, frozenset(reading.number_keys))
    understood = outline_of_file(codec, contents, reading, numbers)
    return _Read(
        shelves=shelves,
        entries=entries,
        contents=contents,
        codec=codec,
        reading=reading,
        outline=understood.outline,
        warnings=understood.warnings,
    )


def _numbers(shelves: Mapping[Volume, Shelf], keys: Collection[str]) -> dict[str, float]:
    """Read the tensors of one number that `keys` name."""
    numbers: dict[str, float] = {}
    for volume, shelf in shelves.items():
        own = volume.own({key: key for key in keys if volume.holds(key)})
        numbers |= volume.named(shelf.numbers(own))
    return numbers
