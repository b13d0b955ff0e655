"""A job's base model found by name and proved, before anything heavy is imported or loaded."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, final

from loraloom.adapters.site import PARTS, Site, canonical_path
from loraloom.errors import ModelError
from loraloom.formats.excerpt import excerpt
from loraloom.formats.header import read_header
from loraloom.models import hub
from loraloom.models.sd1.parts import CHECKPOINT_PREFIXES
from loraloom.models.source import Base, find_base
from loraloom.playground.packaged import PLAYGROUND, base_folder

_INCOMPLETE: Final = ("model.no_index", "model.part_missing", "model.file_missing")
"""Codes of what may be missing where a download broke off: loading fetches it."""


@final
@dataclass(frozen=True, kw_only=True)
class CheckedBase:
    """A base that was found, and the shapes of its networks' weights; {} where only loading tells.

    A checkpoint file has names of its own for its weights, so that its shapes are not known.
    """

    found: Base
    shapes: Mapping[Site, Sequence[int]]


def check_base(name: str) -> CheckedBase:
    """Return what can be told of a base without loading its weights.

    Configurations, the presence of all files and the headers of safetensors are read; the hub is
    asked for a repository that is not on this machine. Whatever would keep the base from being
    loaded, as far as that can be known, is a `ModelError`.
    """
    base = find_base(base_folder(), PLAYGROUND) if name == PLAYGROUND else find_base(name)
    if base.path is None:
        base = _cached(name) or base
    if base.path is None:
        hub.ask(name)
    shapes: dict[Site, Sequence[int]] = {}
    for path in base.weights:
        entries, part = read_header(path).entries, path.parent.name
        if path == base.path:
            _require_checkpoint(path, entries)
        elif part in PARTS:
            shapes |= {Site(part, canonical_path(part, key)): e.shape for key, e in entries.items()}
    return CheckedBase(found=base, shapes=shapes)


def _require_checkpoint(path: Path, names: Collection[str]) -> None:
    """Refuse a single file that lacks any of the networks, such as an adapter's."""
    for prefix in CHECKPOINT_PREFIXES:
        if not any(name.startswith(prefix) for name in names):
            raise ModelError("model.no_checkpoint", path=path, keys=excerpt(names))


def _cached(name: str) -> Base | None:
    """Return the base of a hub repository that is whole on this machine, None if it is not."""
    folder = hub.cached(name)
    try:
        return None if folder is None else find_base(folder, name)
    except ModelError as error:
        if error.code in _INCOMPLETE:
            return None
        raise
