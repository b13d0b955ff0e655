"""What an adapter file is, from its header alone."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import final

from loraloom.adapters.card import Card
from loraloom.adapters.site import Site
from loraloom.adapters.span import Place
from loraloom.errors import ModelError
from loraloom.events import Warned
from loraloom.formats.codec import AbstractCodec
from loraloom.formats.contents import Contents
from loraloom.formats.hashes import Hashes, hash_file
from loraloom.formats.header import Entry, Header, read_header, read_numbers
from loraloom.formats.outline import Layer, Outline
from loraloom.formats.reading import Reading, outline_of_file, understand
from loraloom.formats.source import Volume, locate, merged_config
from loraloom.formats.table import recognise


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
    def ranks(self) -> tuple[int, int]:
        """The lowest and the highest rank; 0 where no kind has one."""
        ranks = [layer.rank for layer in self.layers.values() if layer.rank is not None]
        return min(ranks, default=0), max(ranks, default=0)

    @property
    def alphas(self) -> tuple[float, float]:
        """The lowest and the highest alpha of kinds with a rank; 0 where there is none."""
        alphas = [layer.told_alpha for layer in self.layers.values() if layer.rank is not None]
        return min(alphas, default=0.0), max(alphas, default=0.0)

    @property
    def scales(self) -> tuple[float, float]:
        """The lowest and the highest alpha / rank."""
        scales = [layer.scale for layer in self.layers.values()]
        return min(scales), max(scales)


def _parts(sites: Iterable[Site]) -> dict[str, None]:
    return dict.fromkeys(site.part for site in sites)


def describe(path: Path, *, hashed: bool = True) -> AdapterSummary:
    """Summarise the adapter at `path`; tensors are not loaded, nor is torch.

    `hashed` reads the whole file for its hashes; without it the header is all that is read.
    A file that cannot be understood is a `ModelError`; so is a pickle, which has no header.
    """
    found = _read(path)
    entries, factors = found.entries, found.reading.factor_keys
    return AdapterSummary(
        format=found.codec.name,
        card=found.outline.card,
        layers=found.outline.layers,
        dtypes=tuple(sorted({entries[key].dtype for key in factors})),
        parameter_count=sum(entries[key].count for key in factors),
        size=sum(file.stat().st_size for volume in found.headers for file in volume.files),
        hashes={
            name: hash_file(volume.weights, header.data_start)
            for volume, header in found.headers.items()
            for name in volume.named({volume.weights.name: header})
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
    """The headers of an adapter's files, and what they were understood to mean."""

    headers: Mapping[Volume, Header]
    entries: Mapping[str, Entry]
    contents: Contents
    codec: AbstractCodec
    reading: Reading
    outline: Outline
    warnings: tuple[Warned, ...]


def _read(path: Path) -> _Read:
    volumes = locate(path)
    headers = {volume: _header(volume) for volume in volumes}
    entries: dict[str, Entry] = {}
    metadata: dict[str, str] = {}
    for volume, header in headers.items():
        entries |= volume.named(header.entries)
        metadata |= volume.named(header.metadata)
    shapes = {key: entry.shape for key, entry in entries.items()}
    contents = Contents(
        where=str(path),
        shapes=shapes,
        metadata=metadata,
        config=merged_config(volumes),
        on_changed_base=True,
    )
    recognised = recognise(contents)
    codec = recognised.codec
    reading = understand(codec, contents, recognised.claims)
    numbers = _numbers(headers, frozenset(reading.number_keys))
    understood = outline_of_file(codec, contents, reading, numbers)
    return _Read(
        headers=headers,
        entries=entries,
        contents=contents,
        codec=codec,
        reading=reading,
        outline=understood.outline,
        warnings=understood.warnings,
    )


def _header(volume: Volume) -> Header:
    if volume.is_pickle:
        raise ModelError("file.pickle_headless", path=volume.weights)
    return read_header(volume.weights)


def _numbers(headers: Mapping[Volume, Header], keys: Collection[str]) -> dict[str, float]:
    """Read the tensors of one number that `keys` name."""
    numbers: dict[str, float] = {}
    for volume, header in headers.items():
        own = volume.own({key: key for key in keys if volume.holds(key)})
        numbers |= volume.named(read_numbers(volume.weights, header, own))
    return numbers
