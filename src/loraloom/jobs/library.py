"""The library: LoRA files in folders, found by the names that prompts use."""

from __future__ import annotations

import difflib
import os
import re
import unicodedata
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Final, Self, final

from loraloom.adapters.site import PARTS
from loraloom.errors import ModelError, UsageError
from loraloom.formats.excerpt import excerpt
from loraloom.formats.header import read_header

_ENDINGS: Final = (".safetensors", ".pt", ".ckpt", ".bin", ".pth")
_NAMELESS: Final = ("adapter_model", "pytorch_lora_weights")
"""Stems that other libraries give every file: such an adapter is called by its folder."""

_NEAR: Final = 0.8
_SHOWN: Final = 8

_LEFT_OUT: Final = ("node_modules", "site-packages", "__pycache__")


@final
@dataclass(frozen=True)
class Library:
    """Adapters by name, per folder; an earlier folder wins over a later one.

    A name is a file's stem, or the name in its header (`ss_output_name`) where no stem is so
    called and no second file has it too.
    """

    shelves: Mapping[Path, Mapping[str, tuple[Path, ...]]]

    @classmethod
    def of(cls, folders: Sequence[Path]) -> Self:
        """Look through folders and what is below them; one that is missing is a `UsageError`.

        Hidden folders and those of training runs (`NAME.run`) are left out.
        """
        require_folders(folders)
        shelves: dict[Path, dict[str, tuple[Path, ...]]] = {}
        seen: set[str] = set()
        for folder in folders:
            shelf = shelves.setdefault(folder, {})
            for path in _adapters(folder):
                if (real := os.path.realpath(path)) not in seen:
                    seen.add(real)
                    name = _name(path)
                    shelf[name] = (*shelf.get(name, ()), path)
        return cls(shelves)

    def find(self, name: str) -> Path:
        """Return the adapter of a name; a `ModelError` says what is near or what is in doubt."""
        wanted = unicodedata.normalize("NFC", name)
        found = next((shelf[wanted] for shelf in self.shelves.values() if wanted in shelf), None)
        found = found or self._aliases.get(wanted, ())
        if len(found) == 1:
            return found[0]
        if found:
            raise ModelError("library.ambiguous", name=name, paths=_listed(found))
        folders = _listed(self.shelves)
        if not any(self.shelves.values()):
            raise ModelError("library.empty", name=name, folders=folders)
        stems = (stem for shelf in self.shelves.values() for stem in shelf)
        known = tuple(dict.fromkeys([*stems, *self._aliases]))
        near = near_names(wanted, known)
        code = "library.unknown_near" if near else "library.unknown"
        raise ModelError(
            code, name=name, folders=folders, near=", ".join(near), known=excerpt(known, _SHOWN)
        )

    @cached_property
    def _aliases(self) -> Mapping[str, tuple[Path, ...]]:
        """Paths by the name in their header; what cannot be read has none."""
        found: dict[str, tuple[Path, ...]] = {}
        for path in (
            p for shelf in self.shelves.values() for paths in shelf.values() for p in paths
        ):
            if path.suffix == ".safetensors" and (alias := _alias(path)):
                found[alias] = (*found.get(alias, ()), path)
        return found


def require_folders(folders: Iterable[Path]) -> None:
    """Raise UsageError for a folder that is not there."""
    for folder in folders:
        if not os.path.isdir(folder):
            raise UsageError("library.no_folder", path=folder)


def near_names(wanted: str, known: Collection[str]) -> tuple[str, ...]:
    """Return the known names that a misspelt one may have meant, the nearest first, at most three.

    Near is a name with which it shares four fifths of the letters of both, in their order; capital
    letters, blanks, `-` and `_` make no difference.
    """
    folded = {name: _folded(name) for name in known}
    near = difflib.get_close_matches(_folded(wanted), set(folded.values()), n=3, cutoff=_NEAR)
    return tuple(name for each in near for name in known if folded[name] == each)[:3]


def _folded(name: str) -> str:
    return re.sub(r"[\s_-]+", "", name.casefold())


def _adapters(folder: Path) -> Iterator[Path]:
    """Yield what may be an adapter: files by their endings, and folders of other libraries."""
    for here, folders, files in os.walk(folder):
        folders[:] = sorted(
            name
            for name in folders
            if not (name.startswith(".") or name.endswith(".run") or name in _LEFT_OUT)
        )
        paths = [Path(here, name) for name in sorted(files) if name.endswith(_ENDINGS)]
        yield from (path for path in paths if path.stem not in _NAMELESS)
        if any(path.stem in _NAMELESS for path in paths):
            # One network's folder inside an adapter's is no adapter of its own.
            yield Path(here).parent if Path(here).name in PARTS else Path(here)


def _name(path: Path) -> str:
    name = os.path.basename(os.path.realpath(path)) if os.path.isdir(path) else path.stem
    return unicodedata.normalize("NFC", name)


def _alias(path: Path) -> str:
    try:
        return read_header(path).metadata.get("ss_output_name", "")
    except ModelError:
        return ""


def _listed(paths: Sequence[Path] | Mapping[Path, object]) -> str:
    return ", ".join(str(path) for path in paths)
