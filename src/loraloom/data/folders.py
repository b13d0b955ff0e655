"""Which folders of pictures a training folder stands for, and how often each is repeated."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from difflib import get_close_matches
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Final

from loraloom.data.caption_files import extensions_to_read
from loraloom.data.finding import Finding, Tally
from loraloom.data.listing import Listing, list_folder, spelled
from loraloom.data.metadata import (
    FILE_NAMES,
    Metadata,
    read_metadata,
    relative_name,
    row_findings,
)
from loraloom.data.options import MOST_REPEATS
from loraloom.data.source import Source
from loraloom.data.unused import REGULARISATION, Level, left_out, nothing_here
from loraloom.errors import DatasetError

# kohya's convention: "10_sks dog" is shown ten times an epoch and is called "sks dog". Unlike
# there, a bare "10" is a plain folder, so that "2023" does not mean 2023 repeats.
_NUMBERED: Final = re.compile(r"0*([1-9][0-9]*)_(.*)", re.DOTALL)

# The names that kohya's tools and their users give to the folder above the numbered ones.
_TRAINING: Final = frozenset({"train", "img", "image", "images", "instance"})

_NEAR: Final = 0.8
"""The share of the letters of both that a folder's name has in common with a misspelt one."""


@dataclass(frozen=True, kw_only=True)
class Subset:
    """Pictures that share a number of repeats.

    `words` caption a picture that has no caption of its own ("" where the name gives none).
    `listings` are the folders that hold the pictures: the subset's own, then those below it that
    were asked for or that its `metadata` names pictures in. The `repeated` pictures in them count
    elsewhere; `further` are other names of the same file.
    """

    source: Source
    folder: Path
    name: str
    repeats: int
    words: str
    listings: tuple[Listing, ...]
    metadata: Metadata
    repeated: frozenset[Path] = frozenset()
    further: Mapping[Path, tuple[Path, ...]] = field(default_factory=dict[Path, tuple[Path, ...]])

    @property
    def caption_extensions(self) -> tuple[str, ...]:
        """The endings of its caption files where it has its own, else none."""
        own = self.source.caption_extension
        return extensions_to_read(own) if own else ()

    def pictures(self) -> Iterator[tuple[Listing, Path]]:
        """Yield every picture with the listing that it is in, sorted by path; each only once."""
        for listing in self.listings:
            for path in listing.pictures:
                if path not in self.repeated:
                    yield listing, path

    @property
    def is_leaf(self) -> bool:
        """Whether its folder was named itself and gave it its repeats and its words."""
        named = self.folder == self.source.folder and not self.source.literal
        return named and _number(self.name) is not None

    @property
    def title(self) -> str:
        """The name under which the subset is told: where it is in its source, else its own."""
        inside = relative_name(self.folder, self.source.folder)
        own = self.source.label or self.name
        return own if inside == "." else self.told(self.folder)

    def told(self, path: Path) -> str:
        """Return the name under which a file of the subset is told."""
        name = relative_name(path, self.source.folder)
        return f"{self.source.label}/{name}" if self.source.label else name


def find_subsets(source: Source) -> tuple[tuple[Subset, ...], tuple[Finding, ...]]:
    """Return the subsets of a training folder, at least one, and what was left out.

    Either the folder is named like "10_words" and holds pictures, or it has subfolders named so,
    or it is a flat folder, or it holds none of these but a folder such as `train` or `img` that
    is one, with or without one such as `reg` beside it. Nothing else below it is used, unless
    the source is recursive. Raises DatasetError if there is no such folder, or none with pictures.
    """
    here = list_folder(_existing(source.folder))
    subsets = tuple(_found(source, here))
    if not subsets:
        raise nothing_here(here, partial(_usable, source), literal=source.literal)
    return subsets, _remarks(source, here, subsets)


def _found(source: Source, here: Listing) -> Iterator[Subset]:
    """Yield the subsets of a folder that have pictures; DatasetError for repeats past all use."""
    if source.recursive:
        own = list(_spread_out(source, here, {os.path.realpath(here.folder)}))
    else:
        is_leaf = _number(_own_name(here.folder)) is not None and _holds_pictures(here)
        numbered = () if is_leaf or source.literal else _numbered_below(here)
        own = [_subset(source, listing, ()) for listing in numbered or (here,)]
    own = [subset for subset in own if any(subset.pictures())]
    yield from own
    if not own:
        _check_table(source, here)
    if not own and not source.literal:
        yield from _project(source, here)


def _project(source: Source, here: Listing) -> Iterator[Subset]:
    """Yield the subsets of a folder that holds the training folder and its company."""
    training = [folder for folder in here.folders if folder.name.lower() in _TRAINING]
    if len(training) != 1:
        return
    found = tuple(_found(source, list_folder(training[0])))
    yield from found
    beside = [folder for folder in here.folders if folder.name.lower() in REGULARISATION]
    if found:
        for folder in beside:
            yield from _found(replace(source, regularisation=True), list_folder(folder))


def _spread_out(source: Source, here: Listing, seen: set[str]) -> Iterator[Subset]:
    """Yield a folder with all below it, those with a number or metadata as subsets of their own."""
    together: list[Listing] = []
    apart: list[Listing] = []
    waiting = [here]
    while waiting:
        listing = waiting.pop(0)
        for folder in listing.folders:
            real = os.path.realpath(folder)  # a link to a folder above would never end
            if real in seen:
                continue
            seen.add(real)
            below = list_folder(folder)
            numbered = not source.literal and _number(spelled(folder.name))
            if numbered or _metadata_paths(below):
                apart.append(below)
            else:
                together.append(below)
                waiting.append(below)
    yield _subset(source, here, together)
    for listing in apart:
        yield from _spread_out(source, listing, seen)


def _existing(root: Path) -> Path:
    # These say no, where pathlib's raise, to a path that cannot be looked at.
    if os.path.isdir(root):
        return root
    if os.path.exists(root):
        raise DatasetError("dataset.folder_is_file", folder=str(root))
    parent = Path(os.path.abspath(root)).parent
    folders = list_folder(parent).folders if os.path.isdir(parent) else ()
    siblings = {spelled(folder.name): folder.name for folder in folders}
    near = get_close_matches(_own_name(root), siblings, n=1, cutoff=_NEAR)
    if near:
        raise DatasetError(
            "dataset.folder_missing_near",
            folder=str(root),
            nearest=str(root.parent / siblings[near[0]]),
        )
    raise DatasetError("dataset.folder_missing", folder=str(root))


def _own_name(folder: Path) -> str:
    # abspath, unlike resolve, keeps the name under which a link was given.
    return spelled(os.path.basename(os.path.abspath(folder)))


def _number(name: str) -> tuple[int, str] | None:
    match = _NUMBERED.fullmatch(name)
    return (int(match[1]), match[2].strip()) if match else None


def _metadata_paths(listing: Listing) -> tuple[Path, ...]:
    files = {file.name: file for file in listing.others}
    return tuple(files[name] for name in FILE_NAMES if name in files)


def _holds_pictures(listing: Listing) -> bool:
    return bool(listing.pictures) or bool(_metadata_paths(listing))


def _numbered_below(listing: Listing) -> tuple[Listing, ...]:
    below = [list_folder(folder) for folder in listing.folders if _number(spelled(folder.name))]
    return tuple(sub for sub in below if _holds_pictures(sub))


def _subset(source: Source, listing: Listing, below: Sequence[Listing]) -> Subset:
    name = _own_name(listing.folder)
    plain = (source.repeats, source.words)
    number, words = plain if source.literal else _number(name) or plain
    if number > MOST_REPEATS:
        folder = str(listing.folder)
        raise DatasetError("dataset.repeats_many", folder=folder, repeats=number, most=MOST_REPEATS)
    paths = _metadata_paths(listing)
    metadata = _read(source, paths[0]) if paths else Metadata(captions={})
    named = (list_folder(folder) for folder in metadata.folders)
    listings = {each.folder: each for each in (listing, *below, *named)}
    return Subset(
        source=source,
        folder=listing.folder,
        name=name,
        repeats=number,
        words=words,
        listings=tuple(listings.values()),
        metadata=metadata,
    )


def _remarks(source: Source, here: Listing, subsets: Sequence[Subset]) -> tuple[Finding, ...]:
    tally = Tally()
    used = {listing.folder for subset in subsets for listing in subset.listings}
    if here.folder not in used:
        for path in here.pictures:
            tally.warn("dataset.pictures_beside", path.name, folder=str(here.folder))
        for path in _metadata_paths(here):
            tally.warn("dataset.metadata_beside", path.name, folder=str(here.folder))
    for folder in here.folders:
        below = any(folder == each or folder in each.parents for each in used)
        if not below and _number(spelled(folder.name)) and not list_folder(folder).pictures:
            tally.warn("dataset.folders_empty", folder.name, folder=str(here.folder))
    for subset in subsets:
        _remark(subset, tally)
    tables = {subset.metadata.file: subset for subset in subsets if subset.metadata.file}
    rows = (row_findings(each.metadata, each.told(path)) for path, each in tables.items())
    level = Level(
        here=here,
        used=used,
        pictures=sum(sum(1 for _ in each.pictures()) for each in subsets),
        chosen=not (source.literal or source.recursive or _is_project(here, subsets)),
    )
    above = left_out(level, partial(_usable, source))
    return (*chain.from_iterable(rows), *tally.findings(), *above)


def _is_project(here: Listing, subsets: Sequence[Subset]) -> bool:
    """Tell whether the subsets are those of a training folder that was found by its name."""
    inside = subsets[0].folder.relative_to(here.folder).parts
    return bool(inside) and inside[0].lower() in _TRAINING


def _usable(source: Source, here: Listing) -> bool:
    """Tell whether a folder would be trained on if it were named itself."""
    try:
        return any(_found(replace(source, recursive=False), here))
    except DatasetError:
        return True  # what is wrong with it is told once it is named


def _remark(subset: Subset, tally: Tally) -> None:
    for number, path in enumerate(_metadata_paths(subset.listings[0])):
        if number:
            tally.warn("dataset.metadata_two", subset.told(path))
        elif subset.metadata.rivals:
            tally.warn("dataset.metadata_rivals", subset.told(path))
    if _looks_regularisation(subset):
        tally.warn("dataset.class_taught", subset.title)
    for name in subset.metadata.absent:
        tally.warn("dataset.metadata_no_picture", name)
    for listing in subset.listings:
        for path in listing.unreadable:
            tally.warn("dataset.pictures_left_out", subset.told(path))


def _looks_regularisation(subset: Subset) -> bool:
    """Tell whether pictures to be learnt lie where those of a class usually do."""
    source = subset.source
    if source.regularisation or source.literal:
        return False
    top = Path(os.path.abspath(source.folder))
    inside = subset.folder.relative_to(source.folder).parts
    above = (top.parent.name,) if _number(spelled(top.name)) else ()
    return any(part.lower() in REGULARISATION for part in (*above, top.name, *inside))


def _read(source: Source, table: Path) -> Metadata:
    return read_metadata(table, source.caption_column, encoding=source.caption_encoding)


def _check_table(source: Source, here: Listing) -> None:
    """Refuse a folder that has no pictures because the table that may name some is off."""
    for table in _metadata_paths(here)[:1]:
        for each in row_findings(_read(source, table), table.name):
            if each.severity == "error":
                raise DatasetError(each.code, **each.details)
