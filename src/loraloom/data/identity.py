"""Pictures told apart by what they are, not by what they are called."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TypeAlias

from loraloom.data.finding import Finding, Tally
from loraloom.data.folders import Subset

_Name: TypeAlias = tuple[str, str]


def counted_once(subsets: Sequence[Subset]) -> tuple[tuple[Subset, ...], tuple[Finding, ...]]:
    """Return the subsets with each picture counted where it is met first, and what was met again.

    A folder that is named twice, or above and below each other, counts where it was named first,
    as in sd-scripts, which passes over a later subset of the same `image_dir`. Links to a file are
    further names of it; a file counts by its own name where its folder holds both.
    """
    first: dict[object, tuple[int, Path]] = {}
    for number, subset in enumerate(subsets):
        for _, path in subset.pictures():
            known = first.setdefault(_identity(path), (number, path))
            if known[0] == number and known[1].is_symlink() and not path.is_symlink():
                first[_identity(path)] = (number, path)
    counted = {path: set[_Name]() for _, path in first.values()}
    tally = Tally()
    kept: list[tuple[int, Subset]] = []
    for number, subset in enumerate(subsets):
        every = [path for _, path in subset.pictures()]
        again = {path for path in every if first[_identity(path)] != (number, path)}
        for path in again:
            keeper = first[_identity(path)][1]
            if _name(path) != _name(keeper):
                counted[keeper].add(_name(path))
        if every and len(again) == len(every):
            tally.warn("dataset.folder_twice", subset.title)
            continue
        for path in sorted(again):
            tally.warn("dataset.picture_twice", subset.told(path))
        kept.append((number, replace(subset, repeated=frozenset(again)) if again else subset))
    return tuple(_named(subset, counted) for _, subset in kept), tally.findings()


def _named(subset: Subset, names: dict[Path, set[_Name]]) -> Subset:
    """Return a subset that knows the further names of its pictures."""
    further = {
        path: tuple(sorted(Path(*name) for name in names[path]))
        for _, path in subset.pictures()
        if names[path]
    }
    return replace(subset, further=further) if further else subset


def _identity(path: Path) -> object:
    """Return what two names of one file have in common; a file that is not there has its name."""
    try:
        found = os.stat(path)
    except OSError:
        return _name(path)
    return found.st_dev, found.st_ino


def _name(path: Path) -> _Name:
    """Return where a directory has this name: what was reached by two ways is one name still."""
    return os.path.realpath(path.parent), path.name
