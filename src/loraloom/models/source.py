"""A base model found by name: a diffusers folder, a checkpoint file, or a hub repository."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Final, final

from loraloom.errors import ModelError
from loraloom.models.configuration import read_object
from loraloom.models.families import FAMILIES
from loraloom.models.geometry import Geometry

INDEX: Final = "model_index.json"

_HUB_NAME: Final = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*")
_CHECKPOINTS: Final = (".safetensors", ".ckpt")


@final
@dataclass(frozen=True, kw_only=True)
class Base:
    """Where a base lies and what its files tell; no weight is loaded for it.

    `path` is None on the hub. `family` is "" and `geometry` None where only loading can tell;
    `weights` are the safetensors files that loading will read, as far as they are known.
    """

    title: str
    path: Path | None = None
    family: str = ""
    geometry: Geometry | None = None
    weights: tuple[Path, ...] = ()


def find_base(source: str | Path, title: str | None = None) -> Base:
    """Return the base of a name.

    A name that is no file, no folder and no hub repository's is a `ModelError`, and so is a file
    of another kind or a folder in which something is missing or broken.
    """
    path = Path(source)
    # These say no, where pathlib's raise, to a path that cannot be looked at.
    if os.path.isfile(path):
        return _file(path, title or path.stem)
    if os.path.isdir(path):
        return _folder(path, title or path.resolve().name)
    if is_hub_name(str(source)):
        return Base(title=title or str(source))
    raise ModelError("model.unknown", name=source)


def is_hub_name(name: str) -> bool:
    """Whether a name can be that of a repository on the hub; nothing is asked."""
    return _HUB_NAME.fullmatch(name) is not None


def _file(path: Path, title: str) -> Base:
    if path.suffix not in _CHECKPOINTS:
        raise ModelError("model.not_checkpoint", path=path)
    weights = (path,) if path.suffix == ".safetensors" else ()
    return Base(title=title, path=path, family="sd1", weights=weights)


def _folder(path: Path, title: str) -> Base:
    index = path / INDEX
    if not os.path.isfile(index):
        raise ModelError("model.no_index", path=path)
    pipeline = str(read_object(index).get("_class_name", ""))
    if pipeline not in FAMILIES:
        raise ModelError("model.family", path=path, found=pipeline, known=", ".join(FAMILIES))
    family = FAMILIES[pipeline]
    found = family.inspect(path)
    return Base(
        title=title,
        path=path,
        family=family.name,
        geometry=found.geometry,
        weights=found.weights,
    )
